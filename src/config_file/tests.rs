//! Settings files as they are read, checked and printed.

use super::*;
use clap::{CommandFactory, FromArgMatches, Parser};

#[derive(Parser)]
#[command(name = "t")]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[arg(long, global = true, default_value = "info")]
    log: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    Serve {
        #[arg(long, default_value = "127.0.0.1:1")]
        listen: std::net::SocketAddr,
        #[arg(long, value_delimiter = ',')]
        origin: Vec<String>,
        #[arg(long)]
        quiet: bool,
        #[arg(long)]
        database_url: Option<String>,
    },
    Work {
        #[arg(long, default_value_t = 1)]
        threads: u32,
    },
    Key {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(clap::Subcommand)]
enum Action {
    Make {
        #[arg(long)]
        name: String,
        #[arg(long)]
        data_dir: Option<String>,
    },
}

fn parse(file: &str, arguments: &[&str]) -> Result<(Command, ArgMatches), String> {
    let written = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(written.path(), file).unwrap();
    let path = written.path().to_str().unwrap();
    let mut all: Vec<OsString> = vec!["t".into()];
    all.extend(arguments.iter().map(OsString::from));
    all.extend(["--config".into(), path.into()]);
    let (mut command, _) = with_file(Cli::command(), &all).map_err(|e| e.to_string())?;
    let matches = command
        .try_get_matches_from_mut(&all)
        .map_err(|e| e.to_string())?;
    Ok((command, matches))
}

fn serve(file: &str, arguments: &[&str]) -> (String, String, Vec<String>, bool) {
    let (_, matches) = parse(file, arguments).unwrap();
    let cli = Cli::from_arg_matches(&matches).unwrap();
    match cli.role {
        Role::Serve {
            listen,
            origin,
            quiet,
            ..
        } => (cli.log, listen.to_string(), origin, quiet),
        Role::Work { .. } | Role::Key { .. } => panic!("the role is serve"),
    }
}

#[test]
fn a_flag_counts_more_than_the_file_and_that_more_than_the_default() {
    let file = "log = \"warn\"\n[serve]\nlisten = \"127.0.0.1:2\"\norigin = [\"a\", \"b\"]\nquiet = true\n[work]\nthreads = 3\n";
    let (log, listen, origin, quiet) = serve(file, &["serve"]);
    assert_eq!((log.as_str(), listen.as_str()), ("warn", "127.0.0.1:2"));
    assert_eq!(
        (origin, quiet),
        (vec!["a".to_owned(), "b".to_owned()], true)
    );
    let (log, listen, ..) = serve(
        file,
        &["serve", "--listen", "127.0.0.1:3", "--log", "debug"],
    );
    assert_eq!((log.as_str(), listen.as_str()), ("debug", "127.0.0.1:3"));
    let (_, listen, ..) = serve("", &["serve"]);
    assert_eq!(listen, "127.0.0.1:1");
}

#[test]
fn a_wrong_key_or_value_is_named_whichever_role_it_is_for() {
    for (file, named) in [
        ("lisen = 1", "`lisen`"),
        (
            "[serve]\nlisen = 1",
            "`lisen` is no setting of serve; did you mean `listen`? Otherwise there are database-url, listen",
        ),
        (
            "[work]\nlisten = \"127.0.0.1:1\"",
            "`listen` is no setting of work",
        ),
        ("[serve]\nlisten = { a = 1 }", "`listen`: a table"),
        ("[serve]\nlisten = \"nowhere\"", "'nowhere' for '--listen"),
        (
            "[key]\nname = \"me\"",
            "`name` is no setting of key; there are data-dir, log",
        ),
        (
            "data-dir = \"/farm\"",
            "`data-dir` is no setting of any role",
        ),
        ("listen =", "config: "),
    ] {
        let error = parse(file, &["serve"]).map(|_| ()).unwrap_err();
        assert!(error.contains(named), "{file:?}: {error}");
    }
}

#[test]
fn a_table_of_a_role_with_actions_is_for_all_of_them() {
    let file = "[key]\ndata-dir = \"/farm\"\nlog = \"warn\"\n";
    let (command, matches) = parse(file, &["key", "make", "--name", "me"]).unwrap();
    let printed = print(&command, &Cli::command(), &matches);
    assert!(printed.contains("data-dir = \"/farm\" # file"), "{printed}");
    assert!(!printed.contains("name"), "{printed}");
    let cli = Cli::from_arg_matches(&matches).unwrap();
    assert_eq!(cli.log, "warn");
    let Role::Key {
        action: Action::Make { name, data_dir },
    } = cli.role
    else {
        panic!("the role is key");
    };
    assert_eq!((name.as_str(), data_dir.as_deref()), ("me", Some("/farm")));
}

#[test]
fn what_is_printed_is_a_settings_file_without_a_password() {
    let url = "postgres://farm:secret@db/farm";
    let (command, matches) =
        parse("[serve]\nquiet = true\n", &["serve", "--database-url", url]).unwrap();
    let printed = print(&command, &Cli::command(), &matches);
    assert!(printed.contains("quiet = true # file"), "{printed}");
    assert!(printed.contains("log = \"info\" # default"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
    let table: Table = printed.parse().unwrap();
    assert_eq!(table["serve"]["quiet"], Value::Boolean(true));
    assert_eq!(
        table["serve"]["database-url"].as_str(),
        Some("postgres://farm:(hidden)@db/farm")
    );
    assert_eq!(table["serve"]["log"].as_str(), Some("info"));
}
