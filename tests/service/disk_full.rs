//! A disk without room: runs are paused and say why, nothing acknowledged is lost, and once there is room again
//! they can be resumed as if nothing had been.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _, SqliteConnection};

use crate::database::Database;
use crate::history::{Acknowledged, ENTITIES, begin, give, stop_and_compare, tick};
use crate::processes::{Service, autofarm, wait_until};

/// Bytes that are taken from the disk, and given back.
const BALLAST: u32 = 8 << 20;
/// Pages of 4 KiB that are left beside them.
const ROOM: u32 = 300;

#[test]
fn runs_are_paused_while_there_is_no_room_and_go_on_when_there_is() {
    let database = Database::sqlite();
    let url = database.url();
    let pages = runtime().block_on(load_ballast(&url));
    let limited = format!("{url}?max_page_count={}", pages + ROOM);
    let service = Service::start_with(database, limited, &["--max-history-backlog", "1"]);
    let rests = begin(&service, &1.into());
    let pause = format!("/v1/simulations/{rests}/pause");
    let at_rest = service.api.post(&pause, &json!({})).expect(200);
    let id = begin(&service, &"max".into());
    let commands = format!("/v1/simulations/{id}/commands");
    let mut acknowledged: Vec<Acknowledged> =
        (1..=8).map(|n| give(&service.api, &commands, n)).collect();

    let full = service.simulation_when(&id, "it is paused", |s| s["status"] == "paused");
    assert_eq!(full["cause"], "disk_full", "{full}");
    acknowledged.extend(give_until_refused(&service, &commands));
    // What is there can be read, and a run that rests notices nothing.
    service
        .api
        .get(&format!("/v1/simulations/{id}/digests"))
        .expect(200);
    let other = service
        .api
        .get(&format!("/v1/simulations/{rests}"))
        .expect(200);
    assert_eq!(other["cause"], "requested", "{other}");
    assert_eq!(other["tick"], at_rest["tick"]);

    runtime().block_on(drop_ballast(&url));
    wait_until("what waited is written", || {
        let path = format!("/v1/simulations/{id}");
        let now = service.api.get(&path).expect(200);
        let last = service
            .api
            .get(&format!("{path}/digests?from_tick={}", now["digest_tick"]))
            .expect(200);
        (last["items"][0]["tick"] == now["digest_tick"]).then_some(())
    });
    let resume = format!("/v1/simulations/{id}/resume");
    service.api.post(&resume, &json!({})).expect(200);
    service.simulation_when(&id, "it goes on", |s| tick(s) > tick(&full));
    acknowledged.push(give(&service.api, &commands, 200));
    stop_and_compare(&service, &id, &acknowledged);
}

/// Gives large commands until one does not fit any more; answers those that did.
fn give_until_refused(service: &Service, commands: &str) -> Vec<Acknowledged> {
    let everyone: Vec<u32> = (1..=ENTITIES).collect();
    let body = json!({"entities": everyone, "command": "release"});
    let mut acknowledged = Vec::new();
    loop {
        let answer = service.api.post(commands, &body);
        if answer.status == 202 {
            acknowledged.push(Acknowledged::new(&answer.body, &body));
            continue;
        }
        let refused = answer.expect(503);
        assert_eq!(refused["type"], "/problems/store-unavailable", "{refused}");
        return acknowledged;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// Makes the database with something in it that takes room; answers its pages.
async fn load_ballast(url: &str) -> u32 {
    let done = autofarm()
        .args(["migrate", "--apply", "--database-url", url])
        .output()
        .expect("the binary starts");
    assert!(done.status.success(), "{done:?}");
    let mut connection = SqliteConnection::connect(url).await.expect("a database");
    let load = format!("CREATE TABLE ballast AS SELECT zeroblob({BALLAST}) AS bytes");
    let load = AssertSqlSafe(load).into_sql_str();
    connection.execute(sqlx::raw_sql(load)).await.expect("room");
    let pages = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut connection)
        .await
        .expect("a count");
    connection.close().await.expect("closed");
    pages
}

async fn drop_ballast(url: &str) {
    let mut connection = SqliteConnection::connect(url).await.expect("a database");
    let dropped = connection.execute("DROP TABLE ballast").await;
    dropped.expect("there is nobody who holds it for long");
    connection.close().await.expect("closed");
}
