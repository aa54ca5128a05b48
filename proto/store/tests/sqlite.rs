//! What is SQLite's own: addresses, files that many open at once, a database without a file.

use proto::id::{ChannelId, GuildId, MessageId, UserId};
use store::{Batch, Position, Store, StoreError};

#[tokio::test]
async fn every_call_may_be_spawned() {
    fn spawnable<T: Future + Send>(_: T) {}
    let store = Store::open("sqlite::memory:").await.unwrap();
    let channel = ChannelId::new(1).unwrap();
    let message = MessageId::new(1).unwrap();
    spawnable(Store::open("sqlite::memory:"));
    spawnable(store.migrate());
    spawnable(store.is_migrated());
    spawnable(store.position());
    spawnable(store.begin_generation(1));
    spawnable(store.apply(Batch::new(Position::default())));
    spawnable(store.page(channel, None, 1));
    spawnable(store.message(channel, message));
    spawnable(store.directory());
    spawnable(store.member(GuildId::new(1).unwrap(), UserId::new(1).unwrap()));
    spawnable(store.ping());
    spawnable(store.close());
}

#[tokio::test]
async fn another_scheme_is_refused_without_repeating_the_address() {
    for url in ["oracle://user:secret@host/db", "store.db", ""] {
        let refused = Store::open(url).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Unsupported { .. }),
            "{refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_away() {
    let away = Store::open("sqlite:///nowhere/at/all/store.db").await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
}

#[tokio::test]
async fn a_database_in_memory_serves_all_clones_and_no_other_handle() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    store.begin_generation(1).await.unwrap();
    let position = Position {
        generation: 1,
        sequence: 0,
    };
    let mut batch = Batch::new(position);
    batch.skip(1);
    store.apply(batch).await.unwrap();
    let clones: Vec<_> = (0..8)
        .map(|_| store.clone())
        .map(|store| tokio::spawn(async move { store.position().await }))
        .collect();
    for clone in clones {
        assert_eq!(clone.await.unwrap().unwrap().sequence, 1);
    }
    let other = Store::open("sqlite::memory:").await.unwrap();
    assert!(!other.is_migrated().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", folder.path().display());
        let openers: Vec<_> = (0..8)
            .map(|_| url.clone())
            .map(|url| {
                tokio::spawn(async move {
                    let store = Store::open(&url).await?;
                    store.migrate().await?;
                    store.position().await
                })
            })
            .collect();
        for opener in openers {
            assert_eq!(opener.await.unwrap().unwrap(), Position::default());
        }
    }
}
