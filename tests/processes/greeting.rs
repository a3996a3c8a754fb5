//! What `autofarm up` tells whoever started it.

use rustix::process::Signal;

use crate::process::{Role, get, path, until};

#[test]
fn it_says_where_it_is_how_to_stop_it_and_that_all_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let data = path(directory.path());
    let mut up = Role::start(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data,
        "--demo",
        "dense",
    ]);
    let address = up.listening();
    until("the demo runs", || {
        get(&address, "/v1/simulations?status=running").contains("demo")
    });
    up.signal(Signal::INT);
    let (code, said) = up.end();
    assert_eq!(code, Some(0), "{said}");
    for line in [
        format!("  API        http://{address}/v1/simulations"),
        format!("  Docs       http://{address}/docs"),
        format!("  State      {data}/autofarm.db"),
    ] {
        assert!(said.lines().any(|l| l == line), "`{line}` is not in {said}");
    }
    let page = said
        .lines()
        .find(|line| line.contains(&format!("http://{address}/")))
        .unwrap();
    assert!(
        page.starts_with("  Dashboard  ") || page.contains("no dashboard"),
        "{page}"
    );
    assert!(said.contains("\nCtrl-C stops it"), "{said}");
    let last = said.lines().last().unwrap();
    assert_eq!(
        last,
        "Stopped. All is written; the next start goes on where it was."
    );
}
