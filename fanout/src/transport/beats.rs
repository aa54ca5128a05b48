//! The [beats](Beat) of a worker's pipes: events go out to a pipe at once, and then once in each beat at the most, so
//! that a burst costs each viewer few writes. Stays on its worker's thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use actix_socketio::Beat;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::pipe::Pipe;

/// The beat of now, and who waits for the next.
#[derive(Debug)]
pub struct Beats {
    beat: Cell<Beat>,
    late: RefCell<Vec<Rc<Pipe>>>,
    became_late: Notify,
}

impl Beats {
    /// Nobody waits.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            beat: Cell::new(Beat::first(Instant::now())),
            late: RefCell::default(),
            became_late: Notify::new(),
        })
    }

    /// The number of the beat of now, as of the last look at the clock.
    pub fn number(&self) -> u64 {
        self.beat.get().number()
    }

    /// The same, after a look at the clock.
    pub fn look(&self) -> u64 {
        let is_more = !self.late.borrow().is_empty();
        let beat = self.beat.get().at(Instant::now(), is_more);
        self.beat.set(beat);
        beat.number()
    }

    /// A pipe waits for the next beat. The caller sees to it that none is there twice.
    pub fn on_late(&self, pipe: Rc<Pipe>) {
        let mut late = self.late.borrow_mut();
        if late.is_empty() {
            self.became_late.notify_one();
        }
        late.push(pipe);
    }

    /// Begins the next beat of whoever waits for it, for ever.
    pub async fn run(&self) {
        loop {
            self.became_late.notified().await;
            sleep_until(self.beat.get().ends()).await;
            self.look();
            for pipe in self.late.take() {
                pipe.on_beat();
            }
        }
    }
}
