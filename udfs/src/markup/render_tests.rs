//! Documents rendered, cut and found again: known cases.

use serde_json::{Value, json};

use super::*;

pub(super) const DIALECTS: [Dialect; 5] =
    [Dialect::Slack, Dialect::Markdown, Dialect::Clickup, Dialect::Github, Dialect::Jira];

pub(super) fn text(body: &Body) -> &str {
    match body {
        Body::Text(text) => text,
        Body::Json(_) => panic!("not a text"),
    }
}

pub(super) fn value(body: &Body) -> &Value {
    match body {
        Body::Json(value) => value,
        Body::Text(_) => panic!("not JSON"),
    }
}

pub(super) fn one(dialect: Dialect, document: &Document, options: &Options<'_>) -> Body {
    let mut parts = render(dialect, document, options);
    assert_eq!(parts.len(), 1);
    parts.remove(0).body
}

/// The document that the body is, read in its own format.
pub(super) fn read(dialect: Dialect, body: &Body) -> Document {
    match dialect {
        Dialect::Slack => Document::from_slack(text(body), &Ids),
        Dialect::Markdown => Document::from_markdown(text(body)),
        Dialect::Github => Document::from_github(&origin::strip(text(body))),
        Dialect::Clickup => Document::from_clickup(value(body)).without_origin(),
        Dialect::Jira => Document::from_jira(value(body)).without_origin(),
    }
}

#[test]
fn markdown_in_every_format() {
    let document = Document::from_markdown(
        "# Plan\nSome **bold _both_** and ~~no~~ `x<y` [site](https://x.y/?a=1&b=2).\n\n\
         - one\n  - deep\n- [x] done\n1. first\n2. second\n\n> said\n\n```rust\na();\n\nb();\n```\nend",
    );
    let options = Options::default();
    assert_eq!(
        text(&one(Dialect::Slack, &document, &options)),
        "*Plan*\nSome *bold _both_* and ~no~ `x&lt;y` <https://x.y/?a=1&amp;b=2|site>.\n\n\
         • one\n    • deep\n☑ done\n1. first\n2. second\n\n> said\n\n```\na();\n\nb();\n```\nend"
    );
    for dialect in [Dialect::Github, Dialect::Markdown] {
        assert_eq!(
            text(&one(dialect, &document, &options)),
            "# Plan\nSome **bold _both_** and ~~no~~ `x<y` [site](https://x.y/?a=1&b=2).\n\n\
             - one\n  - deep\n- [x] done\n1. first\n2. second\n\n> said\n\n```rust\na();\n\nb();\n```\nend"
        );
    }
    let plain = |text: &str| json!({"text": text, "attributes": {}});
    let styled = |text: &str, attributes: Value| json!({"text": text, "attributes": attributes});
    let line = |attributes: Value| styled("\n", attributes);
    assert_eq!(
        *value(&one(Dialect::Clickup, &document, &options)),
        json!([
            plain("Plan"),
            line(json!({"header": 1})),
            plain("Some "),
            styled("bold ", json!({"bold": true})),
            styled("both", json!({"bold": true, "italic": true})),
            plain(" and "),
            styled("no", json!({"strike": true})),
            plain(" "),
            styled("x<y", json!({"code": true})),
            plain(" "),
            styled("site", json!({"link": "https://x.y/?a=1&b=2"})),
            plain("."),
            line(json!({})),
            line(json!({})),
            plain("one"),
            line(json!({"list": {"list": "bullet"}})),
            plain("deep"),
            line(json!({"list": {"list": "bullet"}, "indent": 1})),
            plain("done"),
            line(json!({"list": {"list": "checked"}})),
            plain("first"),
            line(json!({"list": {"list": "ordered"}})),
            plain("second"),
            line(json!({"list": {"list": "ordered"}})),
            line(json!({})),
            plain("said"),
            line(json!({"blockquote": {}})),
            line(json!({})),
            plain("a();"),
            line(json!({"code-block": {"code-block": "rust"}})),
            line(json!({"code-block": {"code-block": "rust"}})),
            plain("b();"),
            line(json!({"code-block": {"code-block": "rust"}})),
            plain("end"),
            line(json!({})),
        ])
    );
    let said = |text: &str, marks: &[&str]| {
        let marks: Vec<Value> = marks.iter().map(|mark| json!({"type": mark})).collect();
        if marks.is_empty() {
            json!({"type": "text", "text": text})
        } else {
            json!({"type": "text", "text": text, "marks": marks})
        }
    };
    let paragraph = |content: Value| json!({"type": "paragraph", "content": content});
    let item = |content: Value| json!({"type": "listItem", "content": content});
    assert_eq!(
        *value(&one(Dialect::Jira, &document, &options)),
        json!({"type": "doc", "version": 1, "content": [
            {"type": "heading", "attrs": {"level": 1}, "content": [said("Plan", &[])]},
            paragraph(json!([
                said("Some ", &[]), said("bold ", &["strong"]), said("both", &["strong", "em"]), said(" and ", &[]),
                said("no", &["strike"]), said(" ", &[]), said("x<y", &["code"]), said(" ", &[]),
                {"type": "text", "text": "site", "marks": [{"type": "link", "attrs": {"href": "https://x.y/?a=1&b=2"}}]},
                said(".", &[])])),
            {"type": "bulletList", "content": [
                item(json!([paragraph(json!([said("one", &[])])),
                    {"type": "bulletList", "content": [item(json!([paragraph(json!([said("deep", &[])]))]))]}])),
                item(json!([paragraph(json!([said("☑ ", &[]), said("done", &[])]))]))]},
            {"type": "orderedList", "content": [
                item(json!([paragraph(json!([said("first", &[])]))])),
                item(json!([paragraph(json!([said("second", &[])]))]))]},
            {"type": "blockquote", "content": [paragraph(json!([said("said", &[])]))]},
            {"type": "codeBlock", "attrs": {"language": "rust"}, "content": [said("a();\n\nb();", &[])]},
            paragraph(json!([said("end", &[])])),
        ]})
    );
}

#[test]
fn mentions_are_mapped_or_made_names() {
    let slack = Document::from_slack("<@U1>, <@U2|bob>, <@U3> <!here> <!subteam^S1|@ops> <#C1|dev>", &Ids);
    let lookup = |mention: &Mention| match (&*mention.id, mention.kind) {
        ("U1", MentionKind::User) => Some(Target::User("7".to_owned())),
        ("U2", _) => Some(Target::Name("Bob B.".to_owned())),
        // Neither may be called, whatever a lookup says.
        ("here" | "S1", _) => Some(Target::User("8".to_owned())),
        _ => None,
    };
    let options = Options { lookup: &lookup, ..Options::default() };
    let names = ", @Bob B., @\u{200b}U3 @\u{200b}here @\u{200b}ops #dev";
    assert_eq!(
        *value(&one(Dialect::Clickup, &slack, &options)),
        json!([{"type": "tag", "user": {"id": 7}}, {"text": names, "attributes": {}}, {"text": "\n", "attributes": {}}])
    );
    assert_eq!(
        text(&one(Dialect::Github, &slack, &options)),
        "@7, @\u{200b}Bob B., @\u{200b}U3 @\u{200b}here @\u{200b}ops #dev"
    );
    assert_eq!(text(&one(Dialect::Slack, &slack, &options)), format!("<@7>{names}"));
    assert_eq!(
        value(&one(Dialect::Jira, &slack, &options))["content"][0]["content"][0],
        json!({"type": "mention", "attrs": {"id": "7", "text": "@U1"}})
    );
    assert_eq!(text(&one(Dialect::Markdown, &slack, &options)), format!("@7{names}"));
    // An id that is none there.
    for (dialect, id) in
        [(Dialect::Clickup, "x"), (Dialect::Slack, "U1>x"), (Dialect::Github, "a b"), (Dialect::Github, "")]
    {
        let lookup = |_: &Mention| Some(Target::User(id.to_owned()));
        let body =
            one(dialect, &Document::from_slack("<@U1|ada>", &Ids), &Options { lookup: &lookup, ..Options::default() });
        let said = match &body {
            Body::Text(text) => text.clone(),
            Body::Json(value) => value[0]["text"].as_str().unwrap_or_default().to_owned(),
        };
        assert_eq!(said, "@\u{200b}ada", "{dialect:?} {id}");
    }
}

#[test]
fn mentions_are_read() {
    let found = |document: &Document| -> Vec<(MentionKind, String)> {
        document.mentions().map(|mention| (mention.kind, mention.id.clone())).collect()
    };
    let user = |id: &str| (MentionKind::User, id.to_owned());
    let github =
        Document::from_github("@ada, ping @org/team (a@b.c, `@code`, @here, @no_login, [@in](https://x.y)) @bob-1.");
    assert_eq!(found(&github), [user("ada"), (MentionKind::Group, "org/team".to_owned()), user("bob-1")]);
    let agent = Document::from_markdown("**@AI_Squad** and @bob");
    assert_eq!(found(&agent), [user("AI_Squad"), user("bob")]);
    assert_eq!(agent.to_markdown(), "**@AI_Squad** and @bob");
    let clickup = Document::from_clickup(&json!({"comment": [
        {"text": "@Ada", "type": "tag", "user": {"id": 7, "username": "Ada"}}, {"text": " hi"}, {"type": "tag", "text": "@Gone"}]}));
    assert_eq!(found(&clickup), [user("7"), user("")]);
    assert_eq!(clickup.to_plain(), "@Ada hi@Gone");
    let jira = Document::from_jira(&json!({"type": "doc", "content": [{"type": "paragraph", "content": [
        {"type": "mention", "attrs": {"id": "5:a-b", "text": "@Ada"}}]}]}));
    assert_eq!(found(&jira), [user("5:a-b")]);
    let wiki =
        Document::from_jira(&json!("see [~accountid:5:a] and [~bob], [here|https://x.y] [https://z.y] [1] [~] [a|b]"));
    assert_eq!(found(&wiki), [user("5:a"), user("bob")]);
    assert_eq!(wiki.to_markdown(), "see @5:a and @bob, [here](https://x.y) <https://z.y> \\[1\\] \\[\\~\\] \\[a|b\\]");
}

#[test]
fn nobody_is_called_who_was_not_meant() {
    let broken = "@\u{200b}";
    for (dialect, markdown, expected) in [
        (Dialect::Github, "@ada x@ada.org @org/team", format!("{broken}ada x@ada.org {broken}org/team")),
        (
            Dialect::Github,
            "(@ada) done.@bob é@bob \\_@bob",
            format!("({broken}ada) done.{broken}bob é{broken}bob \\_{broken}bob"),
        ),
        (Dialect::Github, "`@ada`\n```\n@ada\n```", "`@ada`\n```\n@ada\n```".to_owned()),
        (Dialect::Github, "@**ada** [@a](https://x.y)", format!("{broken}**ada** [{broken}a](https://x.y)")),
        (Dialect::Github, "&#64;ada <!-- @ada -->x", "&amp;#64;ada x".to_owned()),
        (
            Dialect::Github,
            "[here](javascript:@x) @[here](data:x)",
            format!("here (javascript:{broken}x) {broken}here (data:x)"),
        ),
        (Dialect::Github, "[`@evil`](mailto:@evil)", "[`@evil`](mailto:@evil)".to_owned()),
        (
            Dialect::Slack,
            "@Here @channel! @channels x@all.org <!here> <@U1>",
            format!("{broken}Here {broken}channel! {broken}channels x@all.org &lt;!here&gt; &lt;{broken}U1&gt;"),
        ),
        (Dialect::Markdown, "\\@everyone @assignees", format!("{broken}everyone {broken}assignees")),
    ] {
        assert_eq!(
            text(&one(dialect, &Document::from_markdown(markdown), &Options::default())),
            expected,
            "{markdown}"
        );
    }
    // A login must not grow.
    let lookup = |mention: &Mention| (mention.id == "U1").then(|| Target::User("ada".to_owned()));
    let options = Options { lookup: &lookup, ..Options::default() };
    for (mrkdwn, markdown) in
        [("<@U1>smith", "@ada\u{200b}smith"), ("<@U1>/x", "@ada\u{200b}/x"), ("<@U1>, x", "@ada, x")]
    {
        assert_eq!(text(&one(Dialect::Github, &Document::from_slack(mrkdwn, &Ids), &options)), markdown);
    }
    let clickup = one(Dialect::Clickup, &Document::from_plain("@assignees @watchers"), &Options::default());
    assert_eq!(value(&clickup)[0]["text"], format!("{broken}assignees {broken}watchers"));
}

#[test]
fn cuts_are_where_they_hurt_least() {
    let sentence = "Ten words are said here, and then it ends now. ";
    let cases: [(String, &str); 6] = [
        (format!("{}\n\n{}", sentence.repeat(30), sentence.repeat(30)), "ends now."),
        (format!("{}\n{}", "line of words\n".repeat(80), "line of words\n".repeat(80)), "line of words"),
        (sentence.repeat(80), "ends now."),
        ("word ".repeat(800), "word"),
        ("字".repeat(5_000), "字"),
        (format!("```rust\n{}```", "let a = 1;\n".repeat(400)), "let a = 1;\n```"),
    ];
    for (markdown, ending) in cases {
        let document = Document::from_markdown(&markdown);
        let options = Options { limit: Some(2_000), ..Options::default() };
        let parts = render(Dialect::Github, &document, &options);
        assert!(parts.len() > 1);
        for part in &parts {
            let text = text(&part.body);
            assert!(part.body.size() <= 2_000 && text.ends_with(ending), "{text}");
            assert_eq!(part.count, parts.len());
            if ending.ends_with("```") {
                assert!(text.starts_with("```rust\nlet a"), "{text}");
            }
        }
    }
}

#[test]
fn nothing_is_cut_within() {
    let lookup = |_: &Mention| Some(Target::User("U1".to_owned()));
    let options = Options { lookup: &lookup, limit: Some(2_000), ..Options::default() };
    for pad in 1_900..2_000 {
        for inner in ["<@U9>", "<https://x.y/abc|some words here>", "`some code here`"] {
            let document = Document::from_slack(&format!("{}{inner} tail", "x".repeat(pad)), &Ids);
            let whole = if inner == "<@U9>" { "<@U1>" } else { inner };
            let parts = render(Dialect::Slack, &document, &options);
            assert!(parts.iter().any(|part| text(&part.body).contains(whole)), "{pad} {inner}");
        }
    }
    // Emoji of many characters, and a letter with many accents.
    let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}".repeat(500);
    for part in render(Dialect::Slack, &Document::from_plain(&family), &options) {
        assert!(part.visible.starts_with('\u{1f469}') && part.visible.ends_with('\u{1f467}'));
    }
    let accents = format!("e{}", "\u{301}".repeat(9_000));
    let parts = render(Dialect::Slack, &Document::from_plain(&accents), &options);
    assert_eq!(parts.iter().map(|part| part.visible.chars().count()).sum::<usize>(), 9_001);
    // Nothing to cut at, and the room ends where a style does.
    for accents in (7_000..8_000).step_by(50) {
        let text = "\u{301}".repeat(accents);
        let document = Document::from_clickup(&json!([{"text": text}, {"text": text, "attributes": {"bold": true}}]));
        let parts = render(Dialect::Jira, &document, &Options { limit: Some(8_000), ..Options::default() });
        assert!(parts.iter().all(|part| part.body.size() <= 8_000), "{accents}");
    }
}

#[test]
fn parts_are_bounded() {
    let document = Document::from_plain(&"word ".repeat(100_000));
    let footer = Some(Footer { label: "all of it", url: "https://x.y" });
    let parts = render(Dialect::Slack, &document, &Options { limit: Some(2_000), footer, ..Options::default() });
    assert_eq!(parts.len(), PARTS_MAX);
    assert!(parts.iter().all(|part| part.count == PARTS_MAX && part.body.size() <= 2_000));
    assert_eq!(
        text(&parts[PARTS_MAX - 1].body),
        "_The rest of this message is too long to be shown here._\n\n<https://x.y|all of it>"
    );
}

#[test]
fn an_edit_keeps_what_was_posted() {
    let paragraph = format!("{}\n\n", "Some words are said. ".repeat(40));
    let long = Document::from_markdown(&paragraph.repeat(6));
    let options =
        Options { limit: Some(2_000), mark: Some(Mark { id: "m", url: "https://h.y" }), ..Options::default() };
    let posted = render(Dialect::Github, &long, &options);
    assert!(posted.len() > 2);
    // A change at the end leaves the parts before it as they were.
    let edited = render(Dialect::Github, &Document::from_markdown(&format!("{}new", paragraph.repeat(6))), &options);
    assert_eq!(posted[..2], edited[..2]);
    let options = Options { parts_min: posted.len(), ..options };
    let shorter = render(Dialect::Github, &Document::from_markdown("short"), &options);
    assert_eq!(shorter.len(), posted.len());
    assert!(!shorter[0].vacant && shorter[1..].iter().all(|part| part.vacant && part.visible.is_empty()));
    assert_eq!(origin::find(text(&shorter[2].body)).map(|origin| origin.part), Some(3));
    assert!(text(&shorter[1].body).starts_with("_This part of the message is no longer needed._"));
    assert_eq!(render(Dialect::Slack, &Document::default(), &Options::default()), []);
    let emptied = Options { parts_min: 1, ..Options::default() };
    assert!(render(Dialect::Slack, &Document::default(), &emptied)[0].vacant);
}

#[test]
fn notices_say_text() {
    assert_eq!(notices::deleted(None).to_markdown(), "_This message was deleted._");
    let notice = notices::changed("status", Some("to *do*"), None, Some("@here <!x>\nAda"));
    assert_eq!(
        text(&one(Dialect::Slack, &notice, &Options::default())),
        "status: to *do* → *none* by @\u{200b}here &lt;!x&gt; Ada"
    );
    assert_eq!(
        text(&one(Dialect::Github, &notice, &Options::default())),
        "status: to \\*do\\* → **none** by @\u{200b}here &lt;!x> Ada"
    );
}
