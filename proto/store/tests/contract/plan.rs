//! How the databases find a page among 10,000 messages: along the index, in its order, no further than asked.

use sqlx::{Connection as _, Executor as _, MySqlConnection, Row as _, SqliteConnection};

use crate::events::{CHANNEL, channel_id, deleted, message, message_id, opened};
use crate::home::{GENERATION, Home};
use crate::mariadb_server::MariaDb;
use crate::postgres_server::Postgres;
use crate::subject::Subject;
use proto::event::Event;
use store::Store;

/// One large channel beside a thousand of one message each, so that the average says nothing about the large one;
/// every seventh message is deleted.
async fn fill(store: &Subject) {
    store.begin_generation(GENERATION).await.unwrap();
    let mut position = store.position().await.unwrap();
    let ids: Vec<u64> = (1..=10_000).collect();
    for ids in ids.chunks(500) {
        let mut batch = store.batch(position);
        for id in ids {
            let mut message = message(*id, "one of many");
            message.channel_id = channel_of(*id);
            let channel = Some(message.channel_id);
            batch.push(
                batch.to + 1,
                &opened(channel, Event::MessageCreated(message)),
            );
        }
        for id in ids.iter().filter(|id| *id % 7 == 0) {
            let mut gone = deleted(*id);
            gone.channel = Some(channel_id(CHANNEL + id % 10));
            batch.push(batch.to + 1, &gone);
        }
        position.sequence = batch.to;
        store.apply(batch).await.unwrap();
    }
}

fn channel_of(id: u64) -> u64 {
    if id.is_multiple_of(10) {
        CHANNEL + id
    } else {
        CHANNEL
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_reads_a_page_along_the_index_without_sorting() {
    let home = Home::sqlite();
    let store = home.store().await;
    fill(&store).await;
    let mut spy = SqliteConnection::connect(home.url()).await.unwrap();
    // The statement of `history.rs`, which has a test that it is this one.
    let page = "EXPLAIN QUERY PLAN SELECT body, reactions FROM messages \
         WHERE channel_id = ?1 AND deleted = 0 AND id <= ?3 ORDER BY id DESC LIMIT ?4";
    let steps = sqlx::query(page).fetch_all(&mut spy).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    let [search] = steps.as_slice() else {
        panic!("more than a search: {steps:?}");
    };
    let search = search.replace("rowid", "id");
    let expected =
        "SEARCH messages USING INDEX messages_page (channel_id=? AND deleted=? AND id<?)";
    assert_eq!(search, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_reads_a_page_along_the_index_without_sorting() {
    let server = MariaDb::start();
    let url = server.url("store");
    let store = Subject::new(Store::open(&url).await.unwrap(), None);
    store.migrate().await.unwrap();
    fill(&store).await;
    let mut spy = MySqlConnection::connect(&url).await.unwrap();
    let listen =
        "ANALYZE TABLE messages; SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON";
    spy.execute(listen).await.unwrap();
    for before in [None, Some(message_id(9_000)), Some(message_id(300))] {
        let page = store.page(channel_id(CHANNEL), before, 20).await.unwrap();
        assert_eq!(page.messages.len(), 20);
    }
    spy.execute("SET GLOBAL general_log = OFF").await.unwrap();
    let said = "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log \
         WHERE command_type = 'Execute' AND argument LIKE 'SELECT body, reactions FROM messages%'";
    let said: Vec<String> = sqlx::query_scalar(said).fetch_all(&mut spy).await.unwrap();
    assert_eq!(said.len(), 3, "{said:?}");
    for statement in said {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {statement}"));
        let steps = sqlx::raw_sql(explain).fetch_all(&mut spy).await.unwrap();
        let [step] = steps.as_slice() else {
            panic!("more than one step: {}", steps.len());
        };
        let [kind, key, bytes, extra] =
            ["type", "key", "key_len", "Extra"].map(|name| step.get::<String, _>(name));
        // Three columns of eight bytes each: the range has the cursor in it.
        let found = [kind.as_str(), &key, &bytes, &extra];
        assert_eq!(
            found,
            ["range", "messages_page", "24", "Using where"],
            "{statement}"
        );
    }
}

/// So many pages on one connection that PostgreSQL, which plans the first five for their values, may plan once for all.
const PAGES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_reads_a_page_along_the_index_without_sorting() {
    let server = Postgres::start();
    let url = server.url("store");
    let store = Subject::new(Store::open(&url).await.unwrap(), None);
    store.migrate().await.unwrap();
    // Each session writes every plan that it has run into the server's log.
    server.run(
        "store",
        "ALTER DATABASE store SET session_preload_libraries = 'auto_explain'; \
         ALTER DATABASE store SET auto_explain.log_min_duration = 0; \
         ALTER DATABASE store SET auto_explain.log_analyze = on; \
         ALTER DATABASE store SET auto_explain.log_timing = off",
    );
    // A plan that was made while there was nothing to read stays in its session.
    let early = Store::open(&url).await.unwrap();
    pages(&early, 0).await;
    fill(&store).await;
    pages(&early, 20).await;
    let mut seen = read_plans(&server.log(), 0, 2 * 3 * PAGES);
    for statistics in ["", "ANALYZE messages"] {
        server.run("store", statistics);
        for mode in ["auto", "force_custom_plan", "force_generic_plan"] {
            let set = format!("ALTER DATABASE store SET plan_cache_mode = '{mode}'");
            server.run("store", &set);
            let store = Store::open(&url).await.unwrap();
            pages(&store, 20).await;
            store.close().await;
            seen = read_plans(&server.log(), seen, 3 * PAGES);
        }
    }
}

/// Reads pages of the large channel from its end, from near it and from near its beginning.
async fn pages(store: &Store, length: usize) {
    for before in [None, Some(message_id(9_000)), Some(message_id(300))] {
        for _ in 0..PAGES {
            let page = store.page(channel_id(CHANNEL), before, 20).await.unwrap();
            assert_eq!(page.messages.len(), length);
        }
    }
}

/// Judges the plans of pages in the log beyond what was seen of it, so many of them, and tells how long it is.
fn read_plans(log: &str, seen: usize, count: usize) -> usize {
    let log = &log[seen..];
    let plans: Vec<&str> = log
        .split("Query Text: SELECT body, reactions FROM messages WHERE channel_id >=")
        .skip(1)
        .collect();
    assert_eq!(plans.len(), count, "{log}");
    for plan in plans {
        let (_, plan) = plan.split_once("Limit").unwrap();
        let plan = plan.split("LOG:").next().unwrap();
        let [_, scan, index, ..] = *plan.lines().collect::<Vec<_>>() else {
            panic!("{plan}");
        };
        let along = "Index Scan Backward using messages_page on messages";
        assert!(scan.contains(along), "{plan}");
        // One more than asked tells whether there are more.
        let is_bounded = scan.contains("(actual rows=21") || scan.contains("(actual rows=0");
        assert!(is_bounded, "{plan}");
        for column in ["channel_id >=", "channel_id <=", "deleted <=", "id <="] {
            assert!(index.contains(column), "{plan}");
        }
        assert!(!plan.contains("Filter"), "{plan}");
    }
    seen + log.len()
}
