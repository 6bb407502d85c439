//! Footers and marks: written, found again and not to be forged.

use serde_json::json;

use super::{
    render_tests::{DIALECTS, one, read, text, value},
    *,
};

const MARK: Mark<'_> = Mark { id: "msg_1-a", url: "https://hub.y/m" };

#[test]
fn footers_and_marks() {
    let document = Document::from_markdown("words");
    let footer = Footer { label: "Task @here *1*", url: "https://app.y/t/1" };
    let anchored = Footer { url: "https://app.y/t/1#c2", ..footer };
    let bad = Footer { url: "javascript:x", ..footer };
    for dialect in DIALECTS {
        for footer in [None, Some(footer), Some(anchored), Some(bad)] {
            for mark in [None, Some(MARK)] {
                let options = Options { footer, mark, ..Options::default() };
                let body = one(dialect, &document, &options);
                let found = match &body {
                    Body::Text(text) => origin::find(text),
                    Body::Json(value) => origin::find_in(value),
                };
                let marked = mark.is_some() && !matches!(dialect, Dialect::Slack | Dialect::Markdown);
                let expected = marked.then(|| origin::Origin { id: "msg_1-a".to_owned(), part: 1 });
                assert_eq!(found, expected, "{dialect:?} {body:?}");
                let again = read(dialect, &body);
                if marked || footer.is_none() {
                    assert_eq!(again, document, "{dialect:?} {body:?}");
                } else {
                    assert!(again.to_plain().starts_with("words\n\nTask @\u{200b}here"), "{again:?}");
                }
            }
        }
    }
    let options = Options { footer: Some(footer), mark: Some(MARK), ..Options::default() };
    assert_eq!(
        text(&one(Dialect::Github, &document, &options)),
        "words\n\n[Task @\u{200b}here \\*1\\*](https://app.y/t/1) <!-- nexus-origin=msg_1-a.1 -->"
    );
    assert_eq!(
        value(&one(Dialect::Clickup, &document, &options))[3],
        json!({"text": "Task @\u{200b}here *1*", "attributes": {"link": "https://app.y/t/1#nexus-origin=msg_1-a.1"}})
    );
    assert_eq!(text(&one(Dialect::Slack, &document, &options)), "words\n\n<https://app.y/t/1|Task @\u{200b}here *1*>");
}

#[test]
fn slack_has_metadata_for_it() {
    let document = Document::from_markdown("words");
    for (dialect, mark, expected) in [
        (Dialect::Slack, Some(MARK), Some(origin::Origin { id: "msg_1-a".to_owned(), part: 1 })),
        (Dialect::Slack, None, None),
        (Dialect::Github, Some(MARK), None),
    ] {
        let parts = render(dialect, &document, &Options { mark, ..Options::default() });
        assert_eq!(parts[0].metadata.as_ref().and_then(origin::find_in_metadata), expected);
    }
    for none in [
        json!(null),
        json!({"event_type": "other", "event_payload": {"id": "a", "part": 1}}),
        json!({"event_type": "nexus_origin", "event_payload": {"id": "a b", "part": 1}}),
        json!({"event_type": "nexus_origin", "event_payload": {"id": "a", "part": 0}}),
    ] {
        assert_eq!(origin::find_in_metadata(&none), None, "{none}");
    }
}

/// Nobody else's mark goes out, and no id that is none; what somebody typed is
/// no mark, wherever a comment repeats it.
#[test]
fn marks_are_not_forged() {
    let document = Document::from_markdown("words");
    let typed = json!({"comment": [{"text": "ours", "attributes": {"link": "https://x.y#nexus-origin=msg_1.1"}}],
        "comment_text": "#nexus-origin=msg_9.1"});
    assert_eq!(origin::find_in(&typed).map(|origin| origin.id), Some("msg_1".to_owned()));
    assert_eq!(origin::find_in(&json!([{"text": "#nexus-origin=msg_9.1"}])), None);
    let forged = Document::from_slack("see <https://x.y/#nexus-origin=msg_9.1|this>", &Ids);
    assert_eq!(origin::find_in(value(&one(Dialect::Clickup, &forged, &Options::default()))), None);
    let comment = Document::from_slack("&lt;!-- nexus-origin=msg_9.1 --&gt;", &Ids);
    assert_eq!(origin::find(text(&one(Dialect::Github, &comment, &Options::default()))), None);
    let wrong = Options { mark: Some(Mark { id: "a --> b", url: "https://hub.y" }), ..Options::default() };
    assert_eq!(text(&one(Dialect::Github, &document, &wrong)), "words");
    assert_eq!(origin::find("label [x|https://a.y#nexus-origin=m.12]").map(|origin| origin.part), Some(12));
    for none in ["", "#nexus-origin=", "#nexus-origin=a", "#nexus-origin=a.0", "#nexus-origin=a.x", "nexus-origin=a.1"]
    {
        assert_eq!(origin::find(none), None);
    }
    assert_eq!(origin::strip("a\n\nfoot <!-- nexus-origin=a.1 -->\nlater"), "a\nlater");
}
