//! What keeps `autofarm up` from starting, or from serving yet: each with what it says and its exit code.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::api::Api;
use crate::database::{Database, psql};
use crate::history::tick;
use crate::processes::{autofarm, free_address, wait_until};
use crate::up::Up;

/// Exit code of what was given wrongly.
const WRONG_INPUT: Option<i32> = Some(2);
/// Exit code of what failed.
const FAILED: Option<i32> = Some(1);

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// It ends with this code, and says all of this in one line.
#[track_caller]
fn ends(up: Up, code: Option<i32>, says: &[&str]) {
    let (ended, log) = up.end();
    assert_eq!(ended, code, "{log}");
    let is_said = |line: &str| says.iter().all(|what| line.contains(what));
    assert!(
        log.lines()
            .any(|line| line.starts_with("error: ") && is_said(line)),
        "{says:?} is not said in {log}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    // Modes stop nobody who is root, but nothing lies below a file.
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = file.join("data");
    let up = Up::start(&["--data-dir", text(&below)]);
    ends(up, WRONG_INPUT, &["data-dir", text(&below), "--data-dir"]);
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let up = Up::start_on(&address, &["--data-dir", text(directory.path())]);
    ends(
        up,
        FAILED,
        &[
            "listen",
            &address,
            "another process has the port",
            "--listen",
        ],
    );
}

#[test]
fn a_database_and_a_directory_are_one_too_many() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = [
        "--data-dir",
        text(directory.path()),
        "--database-url",
        "sqlite:farm.db",
    ];
    ends(
        Up::start(&flags),
        WRONG_INPUT,
        &["data-dir", "database-url", "not both"],
    );
}

#[test]
fn a_demo_that_is_none_is_answered_with_those_there_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["--data-dir", text(directory.path()), "--demo", "harvest"];
    ends(
        Up::start(&flags),
        WRONG_INPUT,
        &["demo", "'harvest'", "weeding, dense or none"],
    );
}

/// `up` with the demo that it has unless it is told otherwise.
fn demo_in(directory: &tempfile::TempDir) -> Up {
    let mut command = autofarm();
    command.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]);
    Up::spawn(command.arg(directory.path()))
}

/// The only simulation, once it runs.
fn running(api: &Api) -> Value {
    wait_until("the demo runs", || {
        let simulations = api.get("/v1/simulations").body;
        let first = simulations["items"][0].clone();
        let is_at_work = first["tick"].as_u64() >= Some(1_800);
        (first["status"] == "running" && is_at_work).then_some(first)
    })
}

#[test]
fn the_demo_begins_at_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = demo_in(&directory);
    let api = up.ready();
    let demo = running(&api);
    assert_eq!(
        (&demo["name"], &demo["speed"]),
        (&"demo".into(), &2.0.into())
    );
    let id = demo["id"].as_str().expect("an id");
    for state in ["working", "turning", "travelling", "queueing", "faulted"] {
        let some = format!("/v1/simulations/{id}/entities?state={state}&limit=1");
        wait_until(&format!("one is {state}"), || {
            let items = api.get(&some).body["items"].as_array()?.len();
            (items > 0).then_some(())
        });
    }
}

#[test]
fn a_demo_that_was_killed_on_its_way_to_work_is_brought_there_by_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = demo_in(&directory);
    let api = up.ready();
    wait_until("the demo steps", || {
        let simulations = api.get("/v1/simulations").body;
        (simulations["items"][0]["status"] == "paused").then_some(())
    });
    up.signal(Signal::KILL);
    up.end();
    let up = demo_in(&directory);
    let api = up.ready();
    let demo = running(&api);
    assert_eq!(
        (&demo["name"], &demo["speed"]),
        (&"demo".into(), &2.0.into())
    );
    let id = demo["id"].as_str().expect("an id");
    let lifecycle = format!("/v1/simulations/{id}/events?kind=lifecycle");
    wait_until("history tells that it was resumed only there", || {
        let events = api.get(&lifecycle).body;
        let last = events["items"].as_array()?.last()?.clone();
        (last["detail"]["status"] == "running" && tick(&last) >= 1_800).then_some(())
    });
}

#[test]
fn a_farm_of_somebodys_own_that_is_called_demo_stays_as_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = Up::start(&["--data-dir", text(directory.path()), "--demo", "none"]);
    let api = up.ready();
    let own =
        json!({ "name": "demo", "scenario": "dense", "entities": 10, "tick_ms": 50, "speed": 2.0 });
    let id = api.post("/v1/simulations", &own).expect(201)["id"].clone();
    let path = format!("/v1/simulations/{}", id.as_str().expect("an id"));
    let step = json!({ "ticks": 5 });
    for (what, body) in [("start", json!({})), ("pause", json!({})), ("step", step)] {
        api.post(&format!("{path}/{what}"), &body);
    }
    let left = wait_until("it stands", || {
        let now = api.get(&path).body;
        (now["status"] == "paused" && now["tick"].as_u64() >= Some(5)).then_some(now)
    });
    up.signal(Signal::TERM);
    up.end();

    let up = demo_in(&directory);
    let api = up.ready();
    // A demo on its way there steps by then.
    std::thread::sleep(Duration::from_secs(2));
    let now = api.get(&path).body;
    assert_eq!(
        (&now["status"], &now["tick"]),
        (&"paused".into(), &left["tick"])
    );
}

#[test]
fn a_schema_of_a_newer_build_is_refused_on_sqlite() {
    let database = Database::sqlite();
    let runtime = runtime();
    migrate(&database.url());
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&database.url())
            .await
            .unwrap();
        connection.execute(NEWER_SQLITE).await.unwrap();
        connection.close().await.unwrap();
    });
    refuses_newer(&database);
}

#[test]
fn a_schema_of_a_newer_build_is_refused_on_postgres() {
    let database = Database::postgres();
    migrate(&database.url());
    psql(&database.url(), NEWER_POSTGRES);
    refuses_newer(&database);
}

const NEWER_SQLITE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    VALUES (9999, 'of a newer build', 1, x'00', 0)";
const NEWER_POSTGRES: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    VALUES (9999, 'of a newer build', true, '\\x00', 0)";

fn refuses_newer(database: &Database) {
    let up = Up::start(&["--database-url", &database.url()]);
    ends(up, FAILED, &["version 9999", "use the newer build"]);
}

fn migrate(url: &str) {
    let done = autofarm()
        .args(["migrate", "--apply", "--database-url", url])
        .output()
        .expect("the binary starts");
    assert!(done.status.success(), "{done:?}");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

#[test]
fn a_first_start_warns_of_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = Up::start(&["--data-dir", text(directory.path())]);
    up.ready();
    up.said("connected to the database");
    let log = up.log();
    assert!(!log.contains("\"level\":\"WARN\""), "{log}");
}

#[test]
fn it_serves_the_metrics_of_every_role_under_one_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = Up::start(&["--data-dir", text(directory.path()), "--workers", "2"]);
    let api = up.ready();
    let page = wait_until("both workers tell of themselves", || {
        let page = api.get("/metrics").expect(200);
        let page = page.as_str().expect("text").to_owned();
        page.contains("worker_registered{name=\"worker-2\"} 1")
            .then_some(page)
    });
    for line in [
        "autofarm_gateway_ready 1",
        "autofarm_orchestrator_owner 1",
        "autofarm_orchestrator_lease_epoch 1",
        "autofarm_orchestrator_stage_seconds_count{stage=\"compute\"} 0",
        "autofarm_worker_registered{name=\"worker-1\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "`{line}` is not in {page}");
    }
    let mut types: Vec<&str> = page.lines().filter(|l| l.starts_with("# TYPE ")).collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all, "a metric is told of twice: {page}");
}

#[test]
fn an_address_of_the_network_wants_tokens() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["--data-dir", text(directory.path())];
    let without = Up::start_on("0.0.0.0:0", &flags);
    let command = format!(
        "`autofarm token create --name me --role admin --data-dir {}`",
        text(directory.path())
    );
    ends(without, WRONG_INPUT, &["listen: 0.0.0.0:", &command]);
    // That command, but for the role.
    let made = autofarm()
        .args(["token", "create", "--name", "me", "--role", "viewer"])
        .args(flags)
        .output()
        .expect("the binary starts");
    assert!(made.status.success(), "{made:?}");
    let printed = String::from_utf8(made.stdout).expect("text");
    let token = printed
        .split_whitespace()
        .find(|word| word.starts_with("af_"));
    let token = token.unwrap_or_else(|| panic!("no token in {printed}"));

    let up = Up::start_on("0.0.0.0:0", &flags);
    let api = up.ready();
    let refused = api.get("/v1/simulations").expect(401);
    assert_eq!(refused["type"], "/problems/unauthorized", "{refused}");
    let logged: serde_json::Value =
        serde_json::from_str(&up.said("status_code\":401")).expect("JSON");
    for (field, value) in [
        ("http.request.method", json!("GET")),
        ("http.route", json!("/v1/simulations")),
        ("http.response.status_code", json!(401)),
        ("url.scheme", json!("http")),
        ("service.name", json!("autofarm-up")),
    ] {
        assert_eq!(logged[field], value, "{field} of {logged}");
    }
    assert!(logged["duration_us"].is_u64(), "{logged}");
    assert!(
        logged["error.type"].is_null(),
        "the client's fault: {logged}"
    );
    let wrong = api.with_token("af_0123456789abcdef").get("/v1/simulations");
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    let known: Api = api.with_token(token);
    known.get("/v1/simulations").expect(200);
    known.post("/v1/simulations", &json!({})).expect(403);
    assert!(!up.log().contains(token), "the token is in the log");
}

#[test]
fn an_unreachable_database_is_waited_for_and_said() {
    let url = format!("postgres://farm:s3cret@{}/farm", free_address());
    let up = Up::start(&["--database-url", &url]);
    up.said("waiting for the database");
    let api = up.api();
    let readiness = api.get("/readyz");
    assert_eq!(readiness.status, 503, "{}", readiness.body);
    assert_eq!(api.get("/healthz").status, 200);
    up.signal(Signal::TERM);
    let (code, log) = up.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("s3cret"), "the password is in the log");
}

#[test]
fn a_second_one_on_the_same_directory_stands_by() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["--data-dir", text(directory.path())];
    let first = Up::start(&flags);
    let api = first.ready();
    let body =
        json!({"name": "farm", "scenario": "dense", "entities": 64, "tick_ms": 20, "speed": 1});
    let created = api.post("/v1/simulations", &body).expect(201);
    let path = format!("/v1/simulations/{}", created["id"].as_str().expect("an id"));
    api.post(&format!("{path}/start"), &json!({})).expect(200);

    let second = Up::start(&flags);
    let said = second.said("standing by: the database is another's");
    let address = first.address();
    let port = address.rsplit_once(':').expect("an address").1;
    assert!(
        said.contains(&format!(":{port} (")),
        "{said} names port {port}"
    );
    assert_eq!(second.api().get("/readyz").status, 503);
    // The first notices nothing of it.
    let before = tick(&api.get(&path).expect(200));
    let last = wait_until("it goes on", || {
        let now = tick(&api.get(&path).expect(200));
        (now > before + 20).then_some(now)
    });

    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));
    let api = second.ready();
    wait_until("it goes on", || {
        let now = api.get(&path).expect(200);
        (now["status"] == "running" && tick(&now) > last).then_some(())
    });
}
