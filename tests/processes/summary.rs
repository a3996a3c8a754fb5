//! What `autofarm run` prints at its end.

use crate::process::autofarm;

#[test]
fn the_digest_is_the_last_line_and_one_of_something_is_no_plural() {
    let run = ["run", "--entities", "24", "--ticks", "40", "--threads", "1"];
    let output = autofarm(&[&run[..], &["--workers", "2", "--kill-at", "5"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    let last: Vec<&str> = told.lines().last().unwrap().split_whitespace().collect();
    let ["digest", digest, "of", "tick", "40"] = last[..] else {
        panic!("{told}");
    };
    assert!(
        digest.len() == 16 && u64::from_str_radix(digest, 16).is_ok(),
        "{told}"
    );
    assert_eq!(told.matches("digest").count(), 1, "{told}");
    assert!(
        told.contains("24 x weeding, 1 partition, tick 50 ms"),
        "{told}"
    );
    assert!(
        told.contains("1 thread") && !told.contains("1 threads"),
        "{told}"
    );
    let line = |name: &str| {
        let found = told.lines().find(|line| line.starts_with(name));
        found
            .unwrap_or_else(|| panic!("{name} in {told}"))
            .to_owned()
    };
    assert!(
        line("killed_workers").ends_with(" 1 (as it was asked for)"),
        "{told}"
    );
    assert!(
        line("lost_workers").contains("(found gone before the end; "),
        "{told}"
    );
}
