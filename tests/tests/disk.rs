//! A full or read-only disk: a small file system in its own mount namespace.

use std::path::Path;
use std::process::Command;

use chatark_sandbox::{Agent, Generation, Vendor};
use chatark_tests::{Run, Running, TestEnvironment, binary};

use crate::export::compare_all;
use crate::support::{agent, exported_documents};

/// Runs a script in a namespace in which the folder `disk` of the environment is a file system of a given size.
///
/// `$CHATARK` is the binary. The content of `disk` is gone afterwards, so the script copies what the test needs.
pub(crate) fn on_a_disk_of(env: &TestEnvironment, size: &str, script: &str) -> Run {
    let disk = env.path("disk");
    std::fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size={size},mode=700 tmpfs \"$PWD/disk\" || exit 99\n{script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &mount]).current_dir(env.folder.path());
    command.env_clear().envs(env.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("CHATARK", binary());
    let run = Running::start(&mut command).finish();
    assert_ne!(
        run.code,
        Some(99),
        "this test needs a mount namespace, which this machine does not give (see `unshare --mount`): {}",
        run.stderr
    );
    run
}

/// Puts the archive on the small disk.
pub(crate) fn environment_on_disk(agent: &Agent) -> TestEnvironment {
    let mut env = TestEnvironment::of(vec![agent.clone()]);
    env.write_config(std::slice::from_ref(agent), "archive = \"disk/chatark.db\"");
    env
}

/// Returns the part of a script's output after the line `== name`.
pub(crate) fn section<'a>(output: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        output.split_once(&format!("== {name}\n")).unwrap_or_else(|| panic!("no {name} in {output}"));
    rest.split("== ").next().unwrap()
}

fn conversations(path: &Path) -> Vec<serde_json::Value> {
    exported_documents(path)
}

#[test]
fn a_full_disk_loses_nothing_and_the_next_pull_resumes() {
    let mut one_array = agent(Vendor::ConvocoreV3, 6_000);
    one_array.generation = Generation::OneArray;
    for agent in [agent(Vendor::ChatbaseV1, 4_000), agent(Vendor::ChatbaseV2, 4_000), one_array] {
        let env = environment_on_disk(&agent);
        // Room for the largest transaction, one mebibyte of conversations, but not for all of them.
        let run = on_a_disk_of(
            &env,
            "5000k",
            r#"
            exec 2>&1
            echo "== first"; "$CHATARK" pull; echo "code $?"
            mount -o remount,size=64m "$PWD/disk"
            echo "== verify"; "$CHATARK" verify; echo "code $?"
            "$CHATARK" export --offline --format jsonl --output partial --quiet
            echo "== second"; "$CHATARK" pull; echo "code $?"
            "$CHATARK" export --offline --format jsonl --output whole --quiet
            "#,
        );
        let first = section(&run.stdout, "first");
        assert!(first.contains("code 1\n"), "{first}");
        assert_eq!(first.matches("error: ").count(), 1, "one clear line: {first}");
        assert!(first.contains("full") && first.contains("hint: make room on the disk"), "{first}");
        assert!(section(&run.stdout, "verify").contains("code 0\n"), "{}", run.stdout);
        let kept = conversations(&env.path("partial"));
        assert!(!kept.is_empty() && kept.len() < agent.expected().count(), "{}", kept.len());
        let mut partial = agent.clone();
        for expected in agent.expected() {
            if !kept.iter().any(|document| document["id"] == expected.id.as_str()) {
                partial.dataset.remove(&expected.id);
            }
        }
        compare_all(&env, &[partial], &kept);
        let second = section(&run.stdout, "second");
        assert!(second.contains("code 0\n"), "{second}");
        compare_all(&env, &[agent], &conversations(&env.path("whole")));
    }
}

#[test]
fn a_full_disk_does_not_change_earlier_files() {
    let agent = agent(Vendor::ChatbaseV2, 600);
    let env = TestEnvironment::of(vec![agent.clone()]);
    env.expect(0, &["pull"]);
    let run = on_a_disk_of(
        &env,
        "8m",
        r#"
        exec 2>&1
        "$CHATARK" export --offline --output disk/export --quiet
        (cd disk/export && sha256sum *) > before
        dd if=/dev/zero of=disk/filler bs=64k 2>/dev/null
        echo "== full"; "$CHATARK" export --offline --output disk/export; echo "code $?"
        (cd disk/export && sha256sum *) > after
        rm disk/filler
        echo "== room"; "$CHATARK" export --offline --output disk/export; echo "code $?"
        (cd disk/export && sha256sum *) > again
        "#,
    );
    let full = section(&run.stdout, "full");
    assert!(full.contains("code 1\n") && full.contains("error: ") && full.contains("hint: "), "{full}");
    assert!(section(&run.stdout, "room").contains("code 0\n"), "{}", run.stdout);
    let read = |name: &str| std::fs::read_to_string(env.path(name)).unwrap();
    assert!(read("before").lines().count() >= 5);
    assert_eq!((read("before"), read("before")), (read("after"), read("again")));
}

#[test]
fn an_archive_in_a_read_only_folder_can_be_read_and_gives_one_clear_error() {
    let agent = agent(Vendor::ChatbaseV2, 60);
    let env = environment_on_disk(&agent);
    let run = on_a_disk_of(
        &env,
        "16m",
        r#"
        exec 2>&1
        "$CHATARK" pull --quiet; cp disk/chatark.db kept.db
        mount -o remount,ro "$PWD/disk"
        echo "== pull"; "$CHATARK" pull; echo "code $?"
        echo "== export"; "$CHATARK" export; echo "code $?"
        echo "== status"; "$CHATARK" status; echo "code $?"
        echo "== verify"; "$CHATARK" verify; echo "code $?"
        echo "== offline"; "$CHATARK" export --offline --format jsonl --output files; echo "code $?"
        echo "== files"; "$CHATARK" export --offline --output disk/export; echo "code $?"
        "#,
    );
    for name in ["pull", "export", "files"] {
        let said = section(&run.stdout, name);
        assert!(said.contains("code 1\n"), "{name}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{name}: {said}");
        assert!(said.contains("ead-only") && said.contains("hint: "), "{name}: {said}");
    }
    for name in ["status", "verify", "offline"] {
        let said = section(&run.stdout, name);
        assert!(said.contains("code 0\n"), "{name}: {said}");
    }
    compare_all(&env, &[agent], &conversations(&env.path("files")));
}
