//! `conversations.csv` and `messages.csv`.

use std::fs;

use chatark_core::{Conversation, ConversationId, Message, Role};
use chatark_formats::{ExportOptions, Format};
use serde_json::{Value, json};

use crate::helpers::{csv_rows, export, export_into, text};
use crate::samples;

const CONVERSATIONS: &str = "source,provider,agent_id,conversation_id,title,channel,channel_raw,status,created_at,updated_at,contact_id,contact_name,contact_email,contact_phone,contact_company,tags,notes,feedback,message_count,user_message_count,assistant_message_count,tool_call_count,first_response_seconds,duration_seconds,rating_value,rating_scale";
const MESSAGES: &str = "source,provider,agent_id,conversation_id,position,message_id,role,created_at,text,feedback,score,parts,author_kind,author_id,author_name,internal";

#[test]
fn the_columns_are_a_fixed_contract() {
    let (folder, _) = export(&[]);
    assert_eq!(text(folder.path(), "conversations.csv"), format!("{CONVERSATIONS}\r\n"));
    assert_eq!(text(folder.path(), "messages.csv"), format!("{MESSAGES}\r\n"));
}

#[test]
fn the_documentation_lists_every_column() {
    let readme = include_str!("../../../../docs/schema/README.md");
    for (heading, columns) in [("### conversations.csv", CONVERSATIONS), ("### messages.csv", MESSAGES)] {
        let section = readme.split(heading).nth(1).unwrap().split("###").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<Vec<_>>().join(","), columns);
    }
}

#[test]
fn each_conversation_is_one_row() {
    let (folder, _) = export(&samples::all());
    let rows = csv_rows(folder.path(), "conversations.csv");
    let expect = [
        vec![
            "shop",
            "chatbase-v2",
            "5QHA6VB",
            "conv_1",
            "Commande n° 7, «urgent»",
            "google-business",
            "Google Business",
            "taken_over",
            "2024-12-01T11:59:30Z",
            "2024-12-01T12:01:00Z",
            "c-1",
            "Jürgen, Ö.",
            "j@example.com",
            "0049 30 1234",
            "ООО «Ромашка»",
            r#"["vip","a,b","say \"hi\""]"#,
            "line one\nline two",
            "positive",
            "4",
            "1",
            "1",
            "2",
            "2.5",
            "90",
            "4.5",
            "5",
        ],
        vec![
            "shop",
            "chatbase-v2",
            "-agent",
            "=id",
            "=HYPERLINK(\"http://x\",\"y\")",
            "other",
            "@channel",
            "",
            "2024-12-01T12:00:00Z",
            "2024-12-01T11:59:59Z",
            "",
            "a=b",
            "",
            "+49 30 1234",
            "",
            r#"["=tag"]"#,
            "-1+1",
            "",
            "1",
            "0",
            "1",
            "0",
            "",
            "",
            "",
            "",
        ],
        vec![
            "shop",
            "chatbase-v2",
            "a",
            "conv_0",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "1",
            "0",
            "0",
            "0",
            "",
            "",
            "",
            "",
        ],
    ];
    assert_eq!(rows[1..], expect);
}

#[test]
fn each_message_is_one_row() {
    let (folder, _) = export(&samples::all());
    let mut rows = csv_rows(folder.path(), "messages.csv");
    // The JSON of a cell is compared as JSON.
    let parts: Value = serde_json::from_str(&rows[3][11]).unwrap();
    assert_eq!(parts, samples::other_parts_document());
    assert!(!rows[3][11].contains(": "), "the JSON of a cell is compact");
    "PARTS".clone_into(&mut rows[3][11]);
    let question = "Wo ist \"meine\" Bestellung,\r\nbitte?\n注文はどこ?\n🧡 שלום\u{0}";
    let rich = ["shop", "chatbase-v2", "5QHA6VB", "conv_1"];
    let expect = [
        [
            &rich[..],
            &["0", "", "assistant", "", "Hi — how can I help?", "", "0.25", ""],
            &["bot", "", "", "false"],
        ]
        .concat(),
        [
            &rich[..],
            &["1", "msg_1", "user", "2024-12-01T12:00:00Z", question, "negative", "", ""],
            &["customer", "", "", "false"],
        ]
        .concat(),
        [
            &rich[..],
            &["2", "", "human_agent", "2024-12-01T12:00:02.500Z", "", "", "", "PARTS"],
            &["agent", "op-1", "Zoë, \"Z\"", "false"],
        ]
        .concat(),
        [&rich[..], &["3", "", "other", "", "", "", "", ""], &["agent", "", "", "true"]].concat(),
        vec![
            "shop",
            "chatbase-v2",
            "-agent",
            "=id",
            "0",
            "\rCR",
            "assistant",
            "2024-12-01T12:00:00Z",
            "\tTAB",
            "",
            "1",
            "",
            "bot",
            "+1",
            "@bot",
            "false",
        ],
        [
            &["shop", "chatbase-v2", "a", "conv_0", "0", "", "system", "", "", "", "", ""][..],
            &["system", "", "", "false"],
        ]
        .concat(),
    ];
    assert_eq!(rows[1..], expect);
}

#[test]
fn a_row_has_fixed_bytes() {
    let (folder, _) = export(&[samples::formulas()]);
    let row = "shop,chatbase-v2,-agent,=id,\"=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",other,@channel,,\
               2024-12-01T12:00:00Z,2024-12-01T11:59:59Z,,a=b,,+49 30 1234,,\"[\"\"=tag\"\"]\",-1+1,,1,0,1,0,,,,";
    assert_eq!(text(folder.path(), "conversations.csv"), format!("{CONVERSATIONS}\r\n{row}\r\n"));
    let row =
        "shop,chatbase-v2,-agent,=id,0,\"\rCR\",assistant,2024-12-01T12:00:00Z,\tTAB,,1,,bot,+1,@bot,false";
    assert_eq!(text(folder.path(), "messages.csv"), format!("{MESSAGES}\r\n{row}\r\n"));
}

#[test]
fn csv_safe_escapes_formulas_and_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let safe = ExportOptions { formats: vec![Format::Csv], csv_safe: true, ..ExportOptions::default() };
    export_into(folder.path(), &safe, &samples::all());
    let (plain, _) = export(&samples::all());

    let escaped = "'=HYPERLINK(\"http://x\",\"y\")";
    assert_eq!(csv_rows(folder.path(), "conversations.csv")[2][2..5], ["'-agent", "'=id", escaped]);
    let (mut cells, mut changed) = (0, 0);
    for name in ["conversations.csv", "messages.csv"] {
        let rows = csv_rows(plain.path(), name).into_iter().zip(csv_rows(folder.path(), name));
        for (plain, safe) in rows.flat_map(|(plain, safe)| plain.into_iter().zip(safe)) {
            cells += 1;
            if plain.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                changed += 1;
                assert_eq!(safe, format!("'{plain}"));
            } else {
                assert_eq!(safe, plain);
            }
        }
    }
    // Agent and id twice; title, raw channel, phone, notes, message id, text, author id and author name once.
    assert_eq!((cells, changed), (4 * 26 + 7 * 16, 12));
}

#[test]
fn a_byte_order_mark_is_written_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let marked = ExportOptions { formats: vec![Format::Csv], csv_bom: true, ..ExportOptions::default() };
    export_into(folder.path(), &marked, &samples::all());
    let (plain, _) = export(&samples::all());
    for name in ["conversations.csv", "messages.csv"] {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        let without = fs::read(plain.path().join(name)).unwrap();
        assert_eq!(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap(), without);
        assert!(without.starts_with(b"source,"));
    }
}

#[test]
fn numbers_are_plain_decimals() {
    let scores = [0.0, 1.0, 1e-7, 0.1, 0.123_456_789_012_345_68, f64::NAN, f64::INFINITY, -0.5];
    let message = |score| Message { score: Some(score), ..Message::empty(Role::Assistant) };
    let messages = scores.into_iter().map(message).collect();
    let conversation = Conversation { messages, ..Conversation::empty(ConversationId::new("c")) };
    let folder = tempfile::tempdir().unwrap();
    let safe = ExportOptions { formats: Format::ALL.to_vec(), csv_safe: true, ..ExportOptions::default() };
    export_into(folder.path(), &safe, &[samples::archived("a", conversation)]);
    let rows = csv_rows(folder.path(), "messages.csv");
    let cells: Vec<&str> = rows[1..].iter().map(|row| row[10].as_str()).collect();
    assert_eq!(cells, ["0", "1", "0.0000001", "0.1", "0.12345678901234568", "", "", "-0.5"]);
    let documents = crate::helpers::json_array(folder.path());
    assert_eq!(documents[0]["messages"][5]["score"], json!(null));
}
