//! `typing_start`, from the instance's listener to the members of a room.

use std::rc::Rc;

use tokio::sync::broadcast::error::RecvError;

use super::Hub;

impl Hub {
    /// Tells members who types, for as long as the worker runs.
    pub(super) async fn tell_typing(self: Rc<Self>) {
        let mut heard = self.instance.typing.subscribe();
        loop {
            match heard.recv().await {
                Ok(typed) => {
                    let state = &mut *self.state.borrow_mut();
                    self.tell(state, typed.channel, &typed.frames);
                }
                Err(RecvError::Lagged(missed)) => self.instance.on_typing_missed(missed),
                Err(RecvError::Closed) => return,
            }
        }
    }
}
