// Starts the page: styles, the token from the address, then the reader's view, the login, or one embedded channel.
import './styles/index.css';
import { render } from 'preact';
import { App } from './components/App';
import { Embedded } from './components/Embedded';
import { embeddedChannel, recallRoute, rootOf } from './route';
import { applyTheme } from './theme';
import { TokenKeep, takeToken } from './token';
import { Viewer } from './viewer';

const embedded = embeddedChannel(location);
const keep = embedded ? TokenKeep.embed(embedded) : TokenKeep.login();
takeToken(location, history, keep);
const viewer = new Viewer(rootOf(location), keep, embedded);
const root = document.getElementById('app');
if (embedded) {
  // Light or dark as the system has it: the reader's choice on our own page is not this site's.
  if (viewer.account.token.value) viewer.start();
  if (root) render(<Embedded viewer={viewer} />, root);
} else {
  applyTheme();
  if (viewer.account.token.value) {
    const wanted = location.hash || recallRoute();
    // After a login the page is at its root, whatever the address that led here.
    history.replaceState(null, '', rootOf(location).pathname + (wanted ?? ''));
    viewer.start();
  }
  if (root) render(<App viewer={viewer} />, root);
}
// The address of another login, opened in this tab: begin again with it.
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) location.reload();
});
