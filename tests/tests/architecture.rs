//! Forbidden dependencies between crates.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};
use chatark_tests::repository;

/// Returns the crates that a crate depends on outside its tests.
fn dependencies(name: &str) -> BTreeSet<String> {
    let metadata = MetadataCommand::new().current_dir(repository()).no_deps().exec().unwrap();
    let package = metadata.packages.iter().find(|package| package.name.as_str() == name).unwrap();
    let outside_tests =
        |dependency: &&cargo_metadata::Dependency| dependency.kind != DependencyKind::Development;
    package.dependencies.iter().filter(outside_tests).map(|dependency| dependency.name.clone()).collect()
}

fn ours(name: &str) -> Vec<String> {
    dependencies(name).into_iter().filter(|dependency| dependency.starts_with("chatark-")).collect()
}

#[test]
fn arrows_point_one_way() {
    assert_eq!(ours("chatark-core"), Vec::<String>::new());
    assert_eq!(ours("chatark-http"), ["chatark-core"]);
    for provider in ["chatark-chatbase-v1", "chatark-chatbase-v2", "chatark-convocore-v3"] {
        assert_eq!(ours(provider), ["chatark-core", "chatark-http", "chatark-target"], "{provider}");
    }
    assert_eq!(ours("chatark-archive"), ["chatark-core"]);
    assert_eq!(ours("chatark-formats"), ["chatark-core"]);
    assert_eq!(ours("chatark-target"), ["chatark-core"]);
    assert_eq!(ours("chatark-engine"), ["chatark-archive", "chatark-core"]);
    assert_eq!(ours("chatark-report"), ["chatark-archive", "chatark-core", "chatark-formats"]);
    assert_eq!(
        ours("chatark-migrate"),
        ["chatark-archive", "chatark-core", "chatark-formats", "chatark-target"]
    );
    assert_eq!(ours("chatark-sandbox"), Vec::<String>::new());
    // The simulation writes its vendors from their documents, and knows neither the sandbox nor the command line.
    assert_eq!(
        ours("chatark-simulation"),
        [
            "chatark-archive",
            "chatark-chatbase-v1",
            "chatark-chatbase-v2",
            "chatark-convocore-v3",
            "chatark-core",
            "chatark-engine",
            "chatark-http"
        ]
    );
}

#[test]
fn crates_do_not_know_what_they_must_not_know() {
    let forbidden: &[(&str, &[&str])] = &[
        ("chatark-core", &["tokio", "reqwest", "rusqlite", "clap", "indicatif", "tempfile"]),
        ("chatark-http", &["rusqlite", "clap", "indicatif"]),
        ("chatark-chatbase-v1", &["tokio", "reqwest", "rusqlite", "clap", "indicatif"]),
        ("chatark-chatbase-v2", &["tokio", "reqwest", "rusqlite", "clap", "indicatif"]),
        ("chatark-convocore-v3", &["tokio", "reqwest", "rusqlite", "clap", "indicatif"]),
        ("chatark-archive", &["tokio", "reqwest", "clap", "indicatif", "csv"]),
        ("chatark-engine", &["reqwest", "rusqlite", "clap", "indicatif", "csv"]),
        ("chatark-formats", &["tokio", "reqwest", "rusqlite", "clap", "indicatif"]),
        ("chatark-target", &["tokio", "reqwest", "rusqlite", "clap", "indicatif", "csv"]),
        ("chatark-report", &["tokio", "reqwest", "rusqlite", "clap", "indicatif", "chrono"]),
        ("chatark-migrate", &["reqwest", "rusqlite", "clap", "indicatif"]),
        ("chatark-sandbox", &["reqwest", "rusqlite", "clap"]),
        ("chatark-cli", &["reqwest", "rusqlite", "csv"]),
    ];
    for (name, names) in forbidden {
        let found = dependencies(name);
        for forbidden in *names {
            assert!(!found.contains(*forbidden), "{name} must not depend on {forbidden}");
        }
    }
}

#[test]
fn every_provider_crate_has_the_same_files() {
    for provider in ["chatark-chatbase-v1", "chatark-chatbase-v2", "chatark-convocore-v3"] {
        for file in ["lib", "config", "source", "dialect", "wire", "map", "mapper"] {
            let path = repository().join(format!("crates/{provider}/src/{file}.rs"));
            assert!(path.exists(), "{} is missing", path.display());
        }
        let facts = provider.trim_start_matches("chatark-");
        assert!(repository().join(format!("docs/vendors/{facts}.md")).exists(), "{facts} has no page");
    }
}
