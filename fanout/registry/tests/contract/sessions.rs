//! What may be recovered: one value under a name, one owner at a time, for a window.

use std::time::Duration;

use registry::{Away, Sessions};

use super::home::{Home, pass};

const WINDOW: Duration = Duration::from_secs(3);

/// Any bytes: no text, and some that end strings elsewhere.
const VALUE: &[u8] = b"\0value\xff\r\n";

pub(crate) async fn of_two_who_take_at_once_one_is_the_owner(home: &Home) {
    home.one.save("pid", "first", VALUE, WINDOW).await.unwrap();
    let (a, b) = tokio::join!(
        home.one.take("pid", "a", WINDOW),
        home.other.take("pid", "b", WINDOW)
    );
    assert_eq!((a, b), (Ok(Some(VALUE.to_vec())), Ok(Some(VALUE.to_vec()))));
    let a = Sessions::renew(&*home.one, "pid", "a", None, WINDOW).await;
    let b = Sessions::renew(&*home.other, "pid", "b", None, WINDOW).await;
    let first = Sessions::renew(&*home.one, "pid", "first", None, WINDOW).await;
    assert_ne!(a, b);
    assert_eq!((a.unwrap() || b.unwrap(), first), (true, Ok(false)));
}

pub(crate) async fn a_former_owner_renews_changes_and_ends_nothing(home: &Home) {
    home.one.save("pid", "former", VALUE, WINDOW).await.unwrap();
    home.other.take("pid", "owner", WINDOW).await.unwrap();
    for value in [None, Some(&b"stale"[..])] {
        let renewed = Sessions::renew(&*home.one, "pid", "former", value, WINDOW).await;
        assert_eq!(renewed, Ok(false));
    }
    Sessions::drop(&*home.one, "pid", "former").await.unwrap();
    let renewed = Sessions::renew(&*home.other, "pid", "owner", None, WINDOW).await;
    assert_eq!(renewed, Ok(true));
    let taken = home.one.take("pid", "next", WINDOW).await;
    assert_eq!(taken, Ok(Some(VALUE.to_vec())));
}

pub(crate) async fn a_session_ends_with_its_window(home: &Home) {
    let short = Duration::from_millis(500);
    home.one.save("pid", "a", VALUE, short).await.unwrap();
    home.one.save("taken", "a", VALUE, WINDOW).await.unwrap();
    home.one.take("taken", "b", short).await.unwrap();
    pass(short + Duration::from_millis(50)).await;
    assert_eq!(home.other.take("pid", "b", WINDOW).await, Ok(None));
    assert_eq!(home.other.take("taken", "b", WINDOW).await, Ok(None));
    assert_eq!(home.other.take("never", "b", WINDOW).await, Ok(None));
}

pub(crate) async fn a_renewal_begins_the_window_again(home: &Home) {
    home.one.save("pid", "a", VALUE, WINDOW).await.unwrap();
    for value in [Some(&b"new"[..]), None] {
        pass(WINDOW * 2 / 3).await;
        let renewed = Sessions::renew(&*home.one, "pid", "a", value, WINDOW).await;
        assert_eq!(renewed, Ok(true));
    }
    pass(WINDOW / 3).await;
    let taken = home.other.take("pid", "b", WINDOW).await;
    assert_eq!(taken, Ok(Some(b"new".to_vec())));
}

pub(crate) async fn a_forgotten_session_is_kept_again_with_its_value_alone(home: &Home) {
    let renewed = Sessions::renew(&*home.one, "pid", "a", None, WINDOW).await;
    assert_eq!(renewed, Err(Away));
    let renewed = Sessions::renew(&*home.one, "pid", "a", Some(VALUE), WINDOW).await;
    assert_eq!(renewed, Ok(true));
    let taken = home.other.take("pid", "b", WINDOW).await;
    assert_eq!(taken, Ok(Some(VALUE.to_vec())));
}

pub(crate) async fn an_ended_session_can_not_be_taken(home: &Home) {
    home.one.save("pid", "a", VALUE, WINDOW).await.unwrap();
    home.one.save("other", "a", VALUE, WINDOW).await.unwrap();
    Sessions::drop(&*home.one, "pid", "a").await.unwrap();
    assert_eq!(home.other.take("pid", "b", WINDOW).await, Ok(None));
    let other = home.other.take("other", "b", WINDOW).await;
    assert_eq!(other, Ok(Some(VALUE.to_vec())));
}

pub(crate) async fn a_window_without_end_is_kept(home: &Home) {
    let endless = Duration::MAX;
    home.one.save("pid", "a", VALUE, endless).await.unwrap();
    let renewed = Sessions::renew(&*home.one, "pid", "a", None, endless).await;
    assert_eq!(renewed, Ok(true));
    let taken = home.other.take("pid", "b", endless).await;
    assert_eq!(taken, Ok(Some(VALUE.to_vec())));
}
