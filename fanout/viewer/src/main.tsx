// Starts the page: styles, the token from the address, then the reader's view or the login.
import './styles/index.css';
import { render } from 'preact';
import { App } from './components/App';
import { recallRoute, rootOf } from './route';
import { applyTheme } from './theme';
import { takeToken } from './token';
import { Viewer } from './viewer';

applyTheme();
takeToken(location, history);
const viewer = new Viewer(rootOf(location));
if (viewer.account.token.value) {
  const wanted = location.hash || recallRoute();
  // After a login the page is at its root, whatever the address that led here.
  history.replaceState(null, '', rootOf(location).pathname + (wanted ?? ''));
  viewer.start();
}
// The address of another login, opened in this tab: begin again with it.
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) location.reload();
});
const root = document.getElementById('app');
if (root) render(<App viewer={viewer} />, root);
