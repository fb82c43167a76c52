//! The command line: configs, checks, outputs, pipes, and the contract of exit codes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::Stdio;

use chatark_sandbox::{Fault, FaultKind, Vendor, World};
use chatark_tests::{Running, TestEnvironment, repository};
use serde_json::{Value, json};

use crate::support::{VENDORS, agent, sample};

#[test]
fn all_mistakes_of_a_config_are_listed_with_line_and_key_and_without_secrets() {
    let env = TestEnvironment::sample();
    let text = "archive = \"a.db\"\n\n[[source]]\nname = \"shop\"\nprovider = \"chatbase-v2\"\nagentid = \"x\"\n\
                agent_id = \"x\"\napi_key = \"sk-very-secret\"\n\n[[source]]\nname = \"shop\"\nprovider = \"chatbase-v1\"\n\
                agent_id = \"y\"\napi_key = { env = \"KEY\" }\n";
    fs::write(env.path("config.toml"), text).unwrap();
    for arguments in [&["pull"][..], &["check"], &["export", "--offline"], &["status"], &["pull", "--json"]] {
        let run = env.expect(2, arguments);
        for place in [
            "config.toml:6: `source[1].agentid` is not a known key; did you mean `agent_id`?",
            "config.toml:8: `source[1].api_key` must not be written into the file",
            "config.toml:11: `source[2].name` is also the name of another source",
        ] {
            let lines: Vec<_> = run.stderr.lines().filter(|line| line.contains(place)).collect();
            assert_eq!(lines.len(), 1, "{place}: {}", run.stderr);
        }
        assert!(run.stderr.contains("3 mistakes"), "{}", run.stderr);
        assert!(!(run.stdout.clone() + &run.stderr).contains("secret"), "{run:#?}");
        if arguments.contains(&"--json") {
            assert_eq!(run.json()["error"]["mistakes"].as_array().unwrap().len(), 3);
            assert_eq!(run.json()["error"]["exit_code"], 2);
        } else {
            assert_eq!(run.stdout, "");
        }
    }
}

#[test]
fn a_key_pasted_without_quotes_is_not_shown() {
    let env = TestEnvironment::sample();
    let text = "[[source]]\nname = \"shop\"\nprovider = \"chatbase-v2\"\nagent_id = \"x\"\napi_key = sk-very-secret\n";
    fs::write(env.path("config.toml"), text).unwrap();
    for arguments in [&["pull"][..], &["pull", "-vv"], &["pull", "--json"]] {
        let run = env.expect(2, arguments);
        assert!(run.stderr.contains("config.toml:5: `api_key`"), "{}", run.stderr);
        assert!(!(run.stdout + &run.stderr).contains("secret"));
    }
}

#[test]
fn every_missing_key_is_named() {
    let env = TestEnvironment::sample();
    let mut child = env.command();
    child.arg("check").env_remove("KEY_SANDBOX_CHATBASE_KEY").env("KEY_SANDBOX_CONVOCORE_KEY", "");
    let run = Running::start(&mut child).finish();
    assert_eq!(run.code, Some(2), "{run:#?}");
    for words in ["source=source-1", "source=source-2", "source=source-3"] {
        assert!(run.stderr.contains(words), "`{words}` is not in {}", run.stderr);
    }
    assert_eq!(run.stderr.matches("`KEY_SANDBOX_CHATBASE_KEY` is not set").count(), 2, "{}", run.stderr);
    assert!(run.stderr.contains("`KEY_SANDBOX_CONVOCORE_KEY` is empty"), "{}", run.stderr);
    assert_eq!(env.sandbox().requests(), []);
}

#[test]
fn all_unknown_source_names_are_reported() {
    let env = TestEnvironment::sample();
    for command in ["check", "pull", "export", "rebuild"] {
        let run = env.expect(2, &[command, "source-1", "shpo", "viice"]);
        assert!(run.stderr.contains("`shpo`, `viice`"), "{}", run.stderr);
        assert!(run.stderr.contains("source-1, source-2, source-3"), "{}", run.stderr);
    }
    assert_eq!(env.sandbox().requests(), []);
}

#[test]
fn a_config_is_found_in_its_default_places() {
    let env = TestEnvironment::sample();
    let config = fs::read_to_string(env.path("config.toml")).unwrap();
    fs::remove_file(env.path("config.toml")).unwrap();
    let run = env.expect(2, &["status"]);
    assert!(run.stderr.contains("`config.toml`") && run.stderr.contains("chatark init"), "{}", run.stderr);
    let run = env.expect(2, &["--config", "no/such.toml", "status"]);
    assert!(run.stderr.contains("no/such.toml"), "{}", run.stderr);

    fs::create_dir_all(env.path(".config/chatark")).unwrap();
    fs::write(env.path(".config/chatark/config.toml"), &config).unwrap();
    env.expect(0, &["check"]);
    fs::create_dir(env.path("elsewhere")).unwrap();
    fs::write(env.path("elsewhere/mine.toml"), &config).unwrap();
    let mut child = env.command();
    child.arg("pull").env("CHATARK_CONFIG", "elsewhere/mine.toml");
    assert_eq!(Running::start(&mut child).finish().code, Some(0));
    assert!(env.path("elsewhere/chatark.db").exists(), "paths are relative to the config");
    assert!(!env.path("chatark.db").exists() && !env.path(".config/chatark/chatark.db").exists());
}

#[test]
fn a_key_can_come_from_a_file_or_a_command() {
    let env = TestEnvironment::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    let config = fs::read_to_string(env.path("config.toml")).unwrap();
    let form = "{ env = \"KEY_TEST_KEY\" }";
    assert!(config.contains(form));
    fs::write(env.path("key"), "test-key\n").unwrap();
    for other in ["{ file = \"key\" }", "{ command = [\"echo\", \"test-key\"] }"] {
        fs::write(env.path("config.toml"), config.replace(form, other)).unwrap();
        let run = env.expect(0, &["check"]);
        let is_open = other.contains("file");
        assert_eq!(run.stderr.contains("other users can read the key"), is_open, "{other}: {}", run.stderr);
    }
    let broken = config.replace(form, "{ command = [\"sh\", \"-c\", \"echo secret-word; exit 3\"] }");
    fs::write(env.path("config.toml"), broken).unwrap();
    let run = env.expect(2, &["check"]);
    assert!(run.stderr.contains("`sh` failed") && !run.stderr.contains("secret-word"), "{}", run.stderr);
}

#[test]
fn plain_http_to_another_machine_is_refused() {
    let env = TestEnvironment::of(vec![agent(Vendor::ChatbaseV2, 3)]);
    let config = fs::read_to_string(env.path("config.toml")).unwrap();
    let other = config.replace("http://127.0.0.1", "http://chat.example.com");
    fs::write(env.path("config.toml"), other).unwrap();
    let run = env.expect(2, &["pull"]);
    assert!(run.stderr.contains("https"), "{}", run.stderr);
}

#[test]
fn check_reports_what_works_and_what_does_not() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let env = TestEnvironment::of_world(World::of(agents.clone()));
    let run = env.expect(0, &["check"]);
    for words in ["source-1: Chatbase API v1", "agent \"Shop\"", "agent \"Voice\"", "will be created"] {
        assert!(run.stdout.contains(words), "`{words}` is not in {}", run.stdout);
    }
    assert!(!(run.stdout.clone() + &run.stderr).contains("sandbox-agent-secret"), "{run:#?}");
    assert!(!env.path("chatark.db").exists(), "a check creates nothing");
    assert_eq!(env.sandbox().requests().len(), 3, "one request per source");
    assert_eq!(env.sandbox().export_count(World::CONVOCORE_AGENT), 0, "no metered request");
    assert_eq!(env.sandbox().export_count(World::CHATBASE_V2_AGENT), 0);

    let result = env.expect(0, &["check", "--json"]).json();
    let of = |result: &Value, name: &str| -> Vec<Value> {
        result["sources"].as_array().unwrap().iter().map(|source| source[name].clone()).collect()
    };
    assert_eq!(of(&result, "ok"), [true, true, true]);
    assert_eq!(of(&result, "agent_confirmed"), [true, true, true]);
    assert_eq!(of(&result, "provider"), ["chatbase-v1", "chatbase-v2", "convocore-v3"]);
    assert_eq!(result["exit_code"], 0);
    assert!(result["free_bytes"].as_u64().unwrap() > 0);

    let mut child = env.command();
    child.args(["check", "--json"]).env("KEY_SANDBOX_CONVOCORE_KEY", "wrong");
    let run = Running::start(&mut child).finish();
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert_eq!(of(&run.json(), "ok"), [true, true, false]);
    assert!(run.json()["sources"][2]["hint"].is_string());
    let mut child = env.command();
    child.args(["check"]).env("KEY_SANDBOX_CONVOCORE_KEY", "wrong").env("KEY_SANDBOX_CHATBASE_KEY", "wrong");
    assert_eq!(Running::start(&mut child).finish().code, Some(4));
    assert_eq!(env.sandbox().export_count(World::CONVOCORE_AGENT), 0);
}

#[test]
fn every_result_is_one_json_document_and_nothing_else() {
    let agents: Vec<_> = VENDORS.map(sample).into();
    let expected: Vec<usize> = agents.iter().map(|agent| agent.expected().count()).collect();
    let messages: Vec<usize> =
        agents.iter().map(|agent| agent.expected().map(|expected| expected.messages.len()).sum()).collect();
    let env = TestEnvironment::of_world(World::of(agents));
    let numbers = |sources: &Value, name: &str| -> Vec<usize> {
        let sources = sources.as_array().unwrap().iter();
        sources.map(|source| usize::try_from(source[name].as_u64().unwrap()).unwrap()).collect()
    };
    let pull = env.expect(0, &["pull", "--json"]).json();
    assert_eq!((numbers(&pull["sources"], "added"), &pull["exit_code"]), (expected.clone(), &json!(0)));
    let export = env.expect(0, &["export", "--full", "--json"]).json();
    assert_eq!(numbers(&export["pull"]["sources"], "unchanged"), expected);
    assert_eq!(export["manifest"]["conversations"], expected.iter().sum::<usize>());
    assert_eq!(numbers(&export["manifest"]["sources"], "messages"), messages);
    let written: Value =
        serde_json::from_slice(&fs::read(env.path("export/manifest.json")).unwrap()).unwrap();
    assert_eq!(export["manifest"], written);
    let status = env.expect(0, &["status", "--json"]).json();
    assert_eq!(numbers(&status["sources"], "conversations"), expected);
    assert_eq!(numbers(&status["sources"], "messages"), messages);
    assert_eq!((&status["not_pulled"], &status["sources"][1]["unfinished"]), (&json!([]), &json!([])));
    assert_eq!(status["sources"][1]["last_pull"]["verdict"], "complete");
    let rebuild = env.expect(0, &["rebuild", "--json"]).json();
    assert_eq!(numbers(&rebuild["sources"], "unchanged"), expected);
    let demo = env.expect(0, &["demo", "--json"]).json();
    assert_eq!(demo["manifest"]["conversations"], expected.iter().sum::<usize>());
    assert_eq!(env.expect(0, &["init", "new.toml", "--json"]).json(), json!({ "config": "new.toml" }));
    env.expect(2, &["pull", "nothing", "--json"]).json();
    fs::remove_file(env.path("config.toml")).unwrap();
    assert_eq!(env.expect(2, &["status", "--json"]).json()["error"]["exit_code"], 2);
}

#[test]
fn status_before_the_first_pull_says_what_to_do() {
    let env = TestEnvironment::sample();
    let run = env.expect(2, &["status"]);
    assert!(
        run.stderr.contains("it does not exist yet") && run.stderr.contains("chatark pull"),
        "{}",
        run.stderr
    );
    env.expect(0, &["pull", "source-2"]);
    let status = env.expect(0, &["status", "--json"]).json();
    assert_eq!(status["not_pulled"], json!(["source-1", "source-3"]));
    assert!(env.expect(0, &["status"]).stdout.contains("never"));
}

#[test]
fn quiet_hides_everything_but_errors() {
    let env = TestEnvironment::sample();
    for arguments in
        [&["pull", "--quiet"][..], &["export", "--quiet"], &["rebuild", "-q"], &["init", "a.toml", "-q"]]
    {
        let run = env.expect(0, arguments);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{arguments:?}");
    }
    env.sandbox().add_fault(World::CHATBASE_V2_AGENT, Fault::from(0, FaultKind::ExpiredKey));
    let run = env.expect(7, &["pull", "source-2", "--quiet"]);
    assert!(run.stderr.starts_with("error: ") && run.stdout.is_empty(), "{run:#?}");
}

#[test]
fn output_is_not_coloured_without_a_terminal() {
    let env = TestEnvironment::sample();
    env.sandbox().add_fault(World::CHATBASE_V2_AGENT, Fault::from(0, FaultKind::ExpiredKey));
    for arguments in
        [&["export"][..], &["check"], &["status"], &["--help"], &["pull", "-v"], &["demo"], &["nonsense"]]
    {
        let run = env.run(arguments);
        assert!(!(run.stdout + &run.stderr).contains('\u{1b}'), "{arguments:?}");
    }
}

#[test]
fn logs_contain_neither_keys_nor_message_text() {
    let env = TestEnvironment::sample();
    let run = env.expect(0, &["export", "-vv"]);
    assert!(run.stderr.contains("answered"), "{}", run.stderr);
    for secret in ["sandbox-chatbase-key", "sandbox-convocore-key", "1042", "ada@example.com", "+15550100"] {
        assert!(!run.stderr.contains(secret), "`{secret}` is in the log");
    }
}

/// The reader of the output closes it early, such as `head`.
#[test]
fn a_closed_pipe_is_not_an_error() {
    let env = TestEnvironment::sample();
    env.expect(0, &["pull"]);
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["check"],
        &["export", "--json"],
        &["pull", "--json"],
        &["completions", "bash"],
        &["demo"],
        &["--help"],
        &["--version"],
    ] {
        let mut command = env.command();
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn init_writes_a_config_that_only_needs_keys() {
    let env = TestEnvironment::sample();
    fs::remove_file(env.path("config.toml")).unwrap();
    let run = env.expect(0, &["init"]);
    assert!(run.stderr.contains("config.toml"), "{}", run.stderr);
    let written = fs::read_to_string(env.path("config.toml")).unwrap();
    assert_eq!(written, fs::read_to_string(repository().join("config.example.toml")).unwrap());
    let run = env.expect(2, &["check"]);
    assert!(run.stderr.contains("`CHATBASE_API_KEY` is not set"), "{}", run.stderr);
    assert!(run.stderr.contains("`CONVOCORE_API_KEY` is not set"), "{}", run.stderr);
    assert!(!run.stderr.contains("mistake"), "{}", run.stderr);
    let run = env.expect(2, &["init"]);
    assert!(run.stderr.contains("left as it is"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(env.path("config.toml")).unwrap(), written);
    env.expect(2, &["init", "no/such/folder/config.toml"]);
}

#[test]
fn completions_exist_for_the_usual_shells() {
    let env = TestEnvironment::sample();
    for (shell, word) in
        [("bash", "_chatark()"), ("zsh", "#compdef chatark"), ("fish", "complete -c chatark")]
    {
        let run = env.expect(0, &["completions", shell]);
        assert!(run.stdout.contains(word) && run.stdout.contains("offline"), "{shell}");
    }
    env.expect(2, &["completions", "abacus"]);
}

#[test]
fn help_lists_the_exit_codes() {
    let env = TestEnvironment::sample();
    let help = env.expect(0, &["--help"]).stdout;
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    let numbers: Vec<u8> = codes
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 130, 143]);
    for command in [
        "demo",
        "init",
        "check",
        "plan",
        "pull",
        "export",
        "report",
        "status",
        "verify",
        "drift",
        "rebuild",
        "completions",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
        env.expect(0, &[command, "--help"]);
    }
    env.expect(0, &["--version"]);
    env.expect(2, &[] as &[&str]);
    env.expect(2, &["nonsense"]);
    env.expect(2, &["pull", "--nonsense"]);
}

#[test]
fn formats_and_options_come_from_the_command_or_the_config() {
    let agent = agent(Vendor::ChatbaseV2, 3);
    let mut env = TestEnvironment::of(vec![agent.clone()]);
    let names = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(env.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    env.expect(0, &["export", "--format", "csv", "--csv-bom", "--output", "one"]);
    assert_eq!(names("one"), ["conversations.csv", "datapackage.json", "manifest.json", "messages.csv"]);
    assert!(fs::read(env.path("one/messages.csv")).unwrap().starts_with(b"\xEF\xBB\xBFsource,"));
    env.expect(0, &["export", "--format", "json,jsonl", "--output", "two/deep"]);
    assert_eq!(names("two/deep"), ["conversations.json", "conversations.jsonl", "manifest.json"]);
    env.expect(2, &["export", "--format", "xml"]);
    env.write_config(&[agent], "[output]\ndir = \"three\"\nformats = [\"jsonl\"]");
    env.expect(0, &["export"]);
    assert!(env.path("three/conversations.jsonl").exists() && !env.path("three/messages.csv").exists());
}

/// A user or a password in a URL would reach errors, logs and proxies.
#[test]
fn a_base_url_with_a_password_is_refused_without_being_shown() {
    let env = TestEnvironment::sample();
    let config = fs::read_to_string(env.path("config.toml")).unwrap();
    fs::write(env.path("config.toml"), config.replacen("http://", "http://ann:s3cret-word@", 1)).unwrap();
    for arguments in [&["pull"][..], &["check"], &["status"], &["plan", "--json"], &["pull", "-vv"]] {
        let run = env.expect(2, arguments);
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(shown.contains("base_url` must not contain a user name or a password"), "{shown}");
        assert!(!shown.contains("s3cret-word") && !shown.contains("ann:"), "{shown}");
    }
}

#[test]
fn only_the_named_sources_are_pulled_and_exported() {
    let env = TestEnvironment::sample();
    env.expect(0, &["pull", "source-1"]);
    env.expect(0, &["export", "source-3", "source-2"]);
    let text = fs::read_to_string(env.path("export/conversations.jsonl")).unwrap();
    let sources: BTreeSet<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["source"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sources, ["source-2".to_owned(), "source-3".to_owned()].into());
    let manifest: Value =
        serde_json::from_slice(&fs::read(env.path("export/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["selection"]["sources"], json!(["source-3", "source-2"]));
    let named: Vec<_> = manifest["sources"].as_array().unwrap().iter().map(|one| &one["source"]).collect();
    assert_eq!(named, ["source-2", "source-3"]);
    let asked = env.sandbox().request_count(World::CHATBASE_V1_AGENT);
    env.expect(0, &["export", "source-2"]);
    assert_eq!(env.sandbox().request_count(World::CHATBASE_V1_AGENT), asked);
}

#[test]
fn csv_safe_disarms_formulas_of_customers() {
    let env = TestEnvironment::sample();
    env.expect(0, &["export", "--format", "csv", "--csv-safe"]);
    let mut guarded = 0;
    for name in ["conversations.csv", "messages.csv"] {
        let mut reader = csv::Reader::from_path(env.path("export").join(name)).unwrap();
        for row in reader.records() {
            for cell in &row.unwrap() {
                assert!(!cell.starts_with(['=', '@', '\t', '\r']), "{name}: {cell}");
                assert!(!cell.starts_with(['+', '-']) || cell.parse::<f64>().is_ok(), "{name}: {cell}");
                guarded += usize::from(cell.starts_with("'="));
            }
        }
    }
    assert!(guarded > 0, "the sample holds formulas");
}
