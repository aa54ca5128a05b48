//! What a shard of the vendor's yields, and that its connection broke without yielding anything: the vendor's code
//! says the latter only by its state, and dials again.

use std::pin::Pin;
use std::task::Poll;

use futures_util::Stream as _;
use futures_util::future::poll_fn;
use twilight_gateway::error::ReceiveMessageError;
use twilight_gateway::{Message, Shard, ShardState};

/// What came.
pub(super) enum Polled {
    /// An item, or the end of all.
    Item(Option<Result<Message, ReceiveMessageError>>),
    /// The connection broke without an item.
    Gone,
}

/// The next item, or the notice that the connection broke without one. Cancel-safe.
pub(super) async fn poll(shard: &mut Shard) -> Polled {
    let is_disconnected = |shard: &Shard| matches!(shard.state(), ShardState::Disconnected { .. });
    poll_fn(|context| {
        let was_disconnected = is_disconnected(shard);
        match Pin::new(&mut *shard).poll_next(context) {
            Poll::Ready(item) => Poll::Ready(Polled::Item(item)),
            Poll::Pending if !was_disconnected && is_disconnected(shard) => {
                Poll::Ready(Polled::Gone)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
