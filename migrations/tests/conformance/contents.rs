//! What is written comes back, once.

use std::task::Poll;
use std::time::{Duration, Instant};

use store::error::StoreError;
use store::history::History;
use store::reader::{EventQuery, MetricQuery};
use store::write::{Change, Committed, State, Write};
use transport::control::{Cause, CommandStamp, Log, Status};

use crate::bench::{Bench, Kind, commit_one};
use crate::samples::{
    self, batch, command, create, cut, cut_batch, digest, entity, event, guard, guarded, head, id,
    request, snapshot, spec, state, token,
};

pub(crate) async fn everything_written_comes_back(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let writes: Vec<Write> = (1..)
        .zip([
            create(1),
            create(2),
            command(1, 1, 90),
            command(1, 2, 120),
            command(1, 3, 110),
            Change::CreateToken(token(u64::MAX)),
            Change::CreateToken(token(4)),
            Change::CreateToken(token(5)),
            Change::RevokeToken(5),
        ])
        .map(|(id, change)| Write {
            id,
            guard: None,
            change,
        })
        .collect();
    for committed in store.commit(&lease, &writes).await.unwrap() {
        assert!(matches!(committed, Committed::Done), "{committed:?}");
    }
    let pieces = vec![
        History::Entities(id(1), (1..=3).map(entity).collect()),
        History::Events(
            id(1),
            vec![
                event(Log::Sim, 1, 99, 1),
                event(Log::System, 1, 99, 100),
                event(Log::Sim, 2, 100, 4),
            ],
        ),
        History::Digests(id(1), vec![digest(50), digest(100)]),
        History::Metrics(id(1), Box::new(snapshot(100))),
        History::Head(id(1), head(100)),
        History::Cut(id(1), Box::new(cut(100))),
    ];
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    store.close().await;

    let store = bench.store().await;
    let loaded = store.load().await.unwrap();
    assert!(loaded.unreadable.is_empty(), "{:?}", loaded.unreadable);
    let [one, two] = &loaded.simulations[..] else {
        panic!("{} simulations", loaded.simulations.len());
    };
    assert_eq!(one.spec, spec(1));
    assert_eq!(one.state, state(Status::Running));
    assert_eq!(one.head_tick, 100);
    assert_eq!(one.digest, Some(digest(100)));
    assert_eq!(one.aggregate, samples::aggregate(100));
    assert_eq!((one.late_ticks, one.dilated_ms), (4, 5));
    assert_eq!(one.cut, Some(cut(100)));
    let stamped = |seq, tick| (CommandStamp { seq, tick }, request(seq));
    assert_eq!(one.commands, [stamped(3, 110), stamped(2, 120)]);
    assert_eq!(one.last_command_seq, 3);
    assert_eq!((one.last_sim_seq, one.last_system_seq), (2, 1));
    let said = event(Log::System, 1, 99, 100).text;
    assert_eq!(
        (&one.last_lifecycle, &two.last_lifecycle),
        (&Some(said), &None)
    );
    assert!(one.has_entities);
    assert_eq!(two.spec, spec(2));
    assert_eq!((two.head_tick, two.last_command_seq), (0, 0));
    assert!(two.cut.is_none() && two.commands.is_empty() && !two.has_entities);
    assert_eq!(store.tokens().await.unwrap(), [token(4), token(u64::MAX)]);

    let reader = bench.reader().await;
    let query = EventQuery {
        simulation: id(1),
        log: None,
        kinds: Vec::new(),
        from_tick: 0,
        after: None,
        limit: 10,
    };
    let page = reader.events(&query).await.unwrap().unwrap();
    let expected = [
        event(Log::Sim, 1, 99, 1),
        event(Log::System, 1, 99, 100),
        event(Log::Sim, 2, 100, 4),
    ];
    assert_eq!(page.items, expected);
    let query = MetricQuery {
        simulation: id(1),
        from_tick: 0,
        to_tick: u64::MAX,
        every: 1,
        limit: 10,
    };
    let page = reader.metrics(&query).await.unwrap().unwrap();
    assert_eq!(page.items, [snapshot(100)]);
    let page = reader.digests(id(1), 0, 10).await.unwrap().unwrap();
    assert_eq!(page.items, [digest(50), digest(100)]);
    assert_eq!(bench.machines(id(1)).await, [1, 2, 3].map(entity));
    let columns = "seq = 2 AND tick = 120 AND token = -1 AND at_us = 1700000000000003";
    assert_eq!(bench.count(&format!("commands WHERE {columns}")).await, 1);
}

pub(crate) async fn a_batch_written_twice_changes_nothing(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let mut at_head = head(100);
    at_head.status = Some((Status::Paused, Cause::DiskFull));
    let pieces = vec![
        History::Entities(id(1), (1..=2).map(entity).collect()),
        History::Events(id(1), vec![event(Log::Sim, 1, 99, 1)]),
        History::Digests(id(1), vec![digest(50)]),
        History::Metrics(id(1), Box::new(snapshot(100))),
        History::Head(id(1), at_head),
        History::Cut(id(1), Box::new(cut(100))),
    ];
    let first = batch(7, pieces.clone());
    store.append(&lease, &first).await.unwrap();
    let change = Change::State {
        simulation: id(1),
        state: state(Status::Running),
    };
    commit_one(&store, &lease, 2, change).await;

    // The same batch, in doubt: what a request changed since stays.
    store.append(&lease, &first).await.unwrap();
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.state, state(Status::Running));

    // The same rows in a later batch.
    store.append(&lease, &batch(8, pieces)).await.unwrap();
    let counts = [
        ("entities", 2),
        ("events", 1),
        ("tick_digests", 1),
        ("metric_snapshots", 1),
        ("cuts", 1),
        ("checkpoints", 2),
    ];
    for (table, rows) in counts {
        assert_eq!(bench.count(table).await, rows, "{table}");
    }
    let found = store.load().await.unwrap().simulations.remove(0);
    assert!(!found.has_entities, "two of three");
    assert_eq!(found.state.status, Status::Paused);
    assert_eq!(found.state.cause, Cause::DiskFull);
    assert_eq!(found.state.step_until, None);
}

pub(crate) async fn a_group_in_doubt_is_told_again(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let before = guarded(2, guard("k", 1, "first"), Change::CreateToken(token(1)));
    store.commit(&lease, &[before]).await.unwrap();
    let group = [
        guarded(3, guard("new", 1, "made"), create(2)),
        guarded(4, guard("k", 1, "other"), Change::CreateToken(token(2))),
        guarded(5, guard("k", 9, "other"), Change::CreateToken(token(3))),
        Write {
            id: 6,
            guard: None,
            change: Change::Delete(id(9)),
        },
        Write {
            id: 7,
            guard: None,
            change: create(1),
        },
        Write {
            id: 8,
            guard: None,
            change: Change::Fork {
                parent: id(1),
                tick: 10,
                spec: spec(3),
                state: state(Status::Paused),
            },
        },
        Write {
            id: 9,
            guard: None,
            change: Change::RevokeToken(1),
        },
    ];
    let check = |committed: &[Committed]| {
        assert!(matches!(&committed[0], Committed::Done), "{committed:?}");
        let Committed::Repeated(answer) = &committed[1] else {
            panic!("{committed:?}");
        };
        assert_eq!(answer, b"first");
        assert!(
            matches!(&committed[2], Committed::KeyReused),
            "{committed:?}"
        );
        assert!(
            matches!(&committed[3], Committed::NotFound),
            "{committed:?}"
        );
        assert!(
            matches!(&committed[4], Committed::Conflict),
            "{committed:?}"
        );
        let Committed::Forked(child) = &committed[5] else {
            panic!("{committed:?}");
        };
        assert_eq!((child.spec.id, child.head_tick), (id(3), 10));
        assert!(matches!(&committed[6], Committed::Done), "{committed:?}");
    };
    check(&store.commit(&lease, &group).await.unwrap());
    let mut again = group.to_vec();
    again.push(Write {
        id: 10,
        guard: None,
        change: command(2, 1, 5),
    });
    for _ in 0..2 {
        let committed = store.commit(&lease, &again).await.unwrap();
        check(&committed);
        assert!(matches!(committed[7], Committed::Done), "{committed:?}");
    }
    assert_eq!(bench.count("simulations").await, 3);
    assert_eq!(bench.count("tokens").await, 0);
    assert_eq!(bench.count("commands").await, 1);
}

/// Work that is given up at the n-th time it could go on.
async fn give_up<T>(at: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        polls += 1;
        if polls > at {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

pub(crate) async fn a_call_given_up_at_any_moment_is_whole_or_nothing(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    store
        .append(&lease, &cut_batch(1, id(1), 100))
        .await
        .unwrap();
    let later = cut_batch(2, id(1), 200);
    let mut given_up = 0;
    while give_up(given_up + 1, store.append(&lease, &later))
        .await
        .is_none()
    {
        given_up += 1;
        let found = store.load().await.unwrap().simulations.remove(0);
        let whole = found.head_tick == 200 && found.cut == Some(cut(200));
        let nothing = found.head_tick == 100 && found.cut == Some(cut(100));
        assert!(whole || nothing, "given up {given_up} times: {found:?}");
    }
    // How many there are depends on how often the driver's answer is there before it is asked for.
    assert!(given_up > 0, "there was no moment to give it up");
    let write = Write {
        id: 2,
        guard: None,
        change: command(1, 1, 300),
    };
    let mut at = 1;
    while give_up(at, store.commit(&lease, std::slice::from_ref(&write)))
        .await
        .is_none()
    {
        at += 1;
    }
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.cut, Some(cut(200)));
    assert_eq!(found.commands.len(), 1);
}

pub(crate) async fn a_write_that_cannot_be_made_keeps_no_other_back(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let writes: Vec<Write> = (1..)
        .zip([
            create(1),
            create(1),
            command(2, 1, 5),
            Change::State {
                simulation: id(2),
                state: state(Status::Paused),
            },
            Change::Withdraw {
                simulation: id(1),
                seq: 1,
            },
            Change::CreateToken(token(1)),
            Change::CreateToken(token(1)),
            Change::RevokeToken(9),
            command(1, 1, 5),
        ])
        .map(|(id, change)| Write {
            id,
            guard: None,
            change,
        })
        .collect();
    let committed = store.commit(&lease, &writes).await.unwrap();
    let outcomes: Vec<String> = committed.iter().map(|c| format!("{c:?}")).collect();
    let expected = [
        "Done", "Conflict", "NotFound", "NotFound", "NotFound", "Done", "Conflict", "NotFound",
        "Done",
    ];
    assert_eq!(outcomes, expected);
}

pub(crate) async fn a_final_simulation_comes_back_without_its_past(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    commit_one(&store, &lease, 2, command(1, 1, 500)).await;
    let mut last = head(100);
    last.status = Some((Status::Completed, Cause::LastTick));
    last.step_until = Some(79);
    last.ended_at_us = Some(9);
    let pieces = vec![
        History::Cut(id(1), Box::new(cut(100))),
        History::Head(id(1), last),
    ];
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.state.status, Status::Completed);
    assert_eq!(found.state.cause, Cause::LastTick);
    assert_eq!(found.state.ended_at_us, Some(9));
    assert_eq!(found.state.step_until, Some(79));
    assert_eq!(found.head_tick, 100);
    assert!(found.cut.is_none() && found.commands.is_empty());
    assert_eq!(found.last_command_seq, 1);
}

pub(crate) async fn an_ended_simulation_whose_history_is_not_whole_comes_back_with_its_past(
    bench: &Bench,
) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    commit_one(&store, &lease, 2, command(1, 1, 110)).await;
    let pieces = vec![
        History::Head(id(1), head(100)),
        History::Cut(id(1), Box::new(cut(100))),
    ];
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    let stopped = State {
        step_until: Some(120),
        ..state(Status::Stopped)
    };
    let change = Change::State {
        simulation: id(1),
        state: stopped.clone(),
    };
    commit_one(&store, &lease, 3, change).await;
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.state, stopped);
    assert!(found.goes_on());
    assert_eq!((found.head_tick, found.goes_to()), (100, 120));
    assert_eq!(found.cut, Some(cut(100)));
    assert_eq!(found.commands.len(), 1);
    let written = vec![History::Head(id(1), head(120))];
    store.append(&lease, &batch(2, written)).await.unwrap();
    let found = store.load().await.unwrap().simulations.remove(0);
    assert!(!found.goes_on());
    assert!(found.cut.is_none() && found.commands.is_empty());
}

pub(crate) async fn a_hundred_thousand_machines_go_in_at_once(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let mut many = spec(1);
    many.config.entities = 100_000;
    let change = Change::Create {
        spec: many,
        state: state(Status::Running),
    };
    commit_one(&store, &lease, 1, change).await;
    let rows: Vec<_> = (1..=100_000).map(entity).collect();
    let began = Instant::now();
    let pieces = vec![History::Entities(id(1), rows)];
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    let took = began.elapsed();
    println!("100,000 machines in {took:?} on {:?}", bench.kind);
    // Ten times what a busy machine of two cores takes.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(bench.count("entities").await, 100_000);
    assert!(store.load().await.unwrap().simulations[0].has_entities);
    assert!(
        bench
            .machines(id(1))
            .await
            .into_iter()
            .eq((1..=100_000).map(entity))
    );
}

pub(crate) async fn a_simulation_of_another_kernel_is_named(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    commit_one(&store, &lease, 2, create(2)).await;
    store
        .append(&lease, &cut_batch(1, id(2), 50))
        .await
        .unwrap();
    bench
        .execute("UPDATE simulations SET kernel_version = 4711")
        .await;
    let loaded = store.load().await.unwrap();
    // With a cut of this kernel there is no need to begin with creation.
    assert_eq!(loaded.simulations.len(), 1);
    assert_eq!(loaded.simulations[0].spec.id, id(2));
    let [refused] = &loaded.unreadable[..] else {
        panic!("{:?}", loaded.unreadable);
    };
    assert_eq!(refused.simulation, Some(id(1)));
    assert!(
        matches!(refused.error, StoreError::OtherKernel { found: 4711, .. }),
        "{}",
        refused.error
    );
    assert_eq!(refused.known.as_ref().unwrap().spec, spec(1));
}

pub(crate) async fn an_unreadable_row_is_named_and_others_load(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    for n in 1..=3 {
        commit_one(&store, &lease, n, create(u128::from(n))).await;
        commit_one(&store, &lease, 10 + n, command(u128::from(n), 5, 40)).await;
    }
    let one = id(1);
    let two = id(2);
    bench
        .execute(&format!(
            "UPDATE commands SET command = 'fly' WHERE simulation_key = (SELECT simulation_key FROM simulations WHERE id = '{one}'); \
             UPDATE simulations SET scenario = 'moon' WHERE id = '{two}'"
        ))
        .await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.simulations.len(), 1);
    assert_eq!(loaded.simulations[0].spec.id, id(3));
    let told: Vec<String> = loaded
        .unreadable
        .iter()
        .map(|u| u.error.to_string())
        .collect();
    assert_eq!(
        told[0],
        format!("table commands: row {one}/5 cannot be read by this build")
    );
    assert!(
        told[1].starts_with(&format!("table simulations: row {two}/")),
        "{told:?}"
    );
    assert!(loaded.unreadable[0].known.is_some());
    assert!(loaded.unreadable[1].known.is_none());
}

pub(crate) async fn nul_in_a_name_stops_nobody(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let mut odd = spec(1);
    odd.name = "a\0b".to_owned();
    let change = Change::Create {
        spec: odd,
        state: state(Status::Running),
    };
    let committed = commit_one(&store, &lease, 1, change).await;
    assert!(matches!(committed, Committed::Done));
    let mut told = event(Log::System, 1, 1, 100);
    told.text = "x\0".to_owned();
    let pieces = vec![History::Events(id(1), vec![told])];
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.spec.name, "a\u{fffd}b", "{:?}", Kind::Sqlite);
}
