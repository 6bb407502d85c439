//! Each format read and written, and what hostile text cannot do.

use proptest::prelude::*;
use serde_json::json;

use super::*;

struct Known;

impl Names for Known {
    fn user(&self, id: &str) -> Option<String> {
        (id == "U1").then(|| "Ada".to_owned())
    }

    fn channel(&self, id: &str) -> Option<String> {
        (id == "C1").then(|| "general".to_owned())
    }

    fn group(&self, id: &str) -> Option<String> {
        (id == "S1").then(|| "ops".to_owned())
    }
}

#[test]
fn slack_to_both() {
    for (mrkdwn, plain, markdown) in [
        ("*bold* _it_ ~no~ `c`", "bold it no c", "**bold** _it_ ~~no~~ `c`"),
        ("*_both_*", "both", "**_both_**"),
        ("snake_case_name 2 * 3 * 4", "snake_case_name 2 * 3 * 4", r"snake_case_name 2 \* 3 \* 4"),
        ("*a\nb*", "*a\nb*", "\\*a\nb\\*"),
        ("<https://x.y/z|label>", "label (https://x.y/z)", "[label](https://x.y/z)"),
        ("<https://x.y/?a=1&amp;b=2>", "https://x.y/?a=1&b=2", "<https://x.y/?a=1&b=2>"),
        ("<mailto:a@b.c|a@b.c>", "a@b.c", "<a@b.c>"),
        ("<@U1> <@U2> <@U2|bob> <@U1|old>", "@Ada @U2 @bob @Ada", "@Ada @U2 @bob @Ada"),
        ("<#C1> <#C2|dev> <#C2>", "#general #dev #C2", r"\#general #dev #C2"),
        ("<!here> <!subteam^S1> <!subteam^S2|@qa>", "@here @ops @qa", "@here @ops @qa"),
        ("<!date^1700000000^{date}|a day>", "a day", "a day"),
        ("a &lt;b&gt; &amp;amp;", "a <b> &amp;", "a &lt;b> &amp;amp;"),
        ("```\nlet a = &lt;b&gt;;\n```", "let a = <b>;", "```\nlet a = <b>;\n```"),
        ("see ```x``` ok", "see x ok", "see \n```\nx\n```\n ok"),
        ("`*no* <https://x.y> &lt;`", "*no* https://x.y <", "`*no* https://x.y <`"),
        ("&gt; quoted\nnot", "quoted\nnot", "> quoted\n\nnot"),
        ("• one\n    ◦ two", "- one\n  - two", "- one\n  - two"),
        ("a < b <> <\n>", "a < b <> <\n>", "a &lt; b &lt;> &lt;\n\\>"),
        ("# no heading\n- item", "# no heading\n- item", "\\# no heading\n- item"),
        ("<javascript:alert(1)|x>", "x (javascript:alert(1))", "x (javascript:alert%281%29)"),
        ("", "", ""),
    ] {
        assert_eq!(slack_to_plain(mrkdwn, &Known), plain, "{mrkdwn}");
        assert_eq!(slack_to_markdown(mrkdwn, &Known), markdown, "{mrkdwn}");
    }
    assert_eq!(slack_to_plain("<@U1> <#C1> <!subteam^S1>", &Ids), "@U1 #C1 @S1");
}

#[test]
fn markdown_to_both() {
    for (markdown, plain, mrkdwn) in [
        ("**bold** __bold__ *it* _it_ ~~no~~ `c`", "bold bold it it no c", "*bold* *bold* _it_ _it_ ~no~ `c`"),
        ("***both*** **a *b* c**", "both a b c", "*_both_* *a _b_ c*"),
        ("snake_case_name __init__.py a*b*c", "snake_case_name init.py abc", "snake_case_name *init*.py a_b_c"),
        (r"\*not\* \_it\_", "*not* _it_", "*not* _it_"),
        ("**over\nlines** **no\n\nmore**", "over\nlines **no\n\nmore**", "*over\nlines* **no\n\nmore**"),
        ("# Title \n## **Sub** title", "Title \nSub title", "*Title*\n*Sub title*"),
        ("- a\n  * b\n+ c\n1. d\n2) e", "- a\n  - b\n- c\n1. d\n2. e", "• a\n    • b\n• c\n1. d\n2. e"),
        ("> q\n>> r", "q\nr", "> q\n> r"),
        (
            "[l](https://x.y/a_(b)) ![i](https://x.y/i.png \"t\")",
            "l (https://x.y/a_(b)) i (https://x.y/i.png)",
            "<https://x.y/a_%28b%29|l> <https://x.y/i.png|i>",
        ),
        ("[**b** c](<https://x.y/a b>)", "b c (https://x.y/a b)", "<https://x.y/a%20b|b c>"),
        (
            "[x](!channel) [y](javascript:alert)",
            "x (!channel) y (javascript:alert)",
            "x (!channel) y (javascript:alert)",
        ),
        (
            "<https://x.y> <a@b.c> (https://x.y/a_b_c).",
            "https://x.y a@b.c (https://x.y/a_b_c).",
            "<https://x.y> <mailto:a@b.c> (<https://x.y/a_b_c>).",
        ),
        ("**https://x.y/z**", "https://x.y/z", "*<https://x.y/z>*"),
        ("[no](\nlink) [a] [b][c] ](x)", "[no](\nlink) [a] [b][c] ](x)", "[no](\nlink) [a] [b][c] ](x)"),
        ("```rust\nfn a() {}\n```\n`` a ` b ``", "fn a() {}\na ` b", "```\nfn a() {}\n```\n`a ' b`"),
        ("a<!-- hidden -->b <b> <!-- open", "ab <b> <!-- open", "ab &lt;b&gt; &lt;!-- open"),
        ("<!channel> <@U1> &lt;!here&gt;", "<!channel> <@U1> <!here>", "&lt;!channel&gt; &lt;@U1&gt; &lt;!here&gt;"),
        ("a\n\n---\nb &amp; c", "a\n\n\nb & c", "a\n\n\nb &amp; c"),
        ("a\r\nb\r\n", "a\nb", "a\nb"),
    ] {
        assert_eq!(markdown_to_plain(markdown), plain, "{markdown}");
        assert_eq!(markdown_to_slack(markdown), mrkdwn, "{markdown}");
    }
}

#[test]
fn nobody_is_called_by_a_forwarded_text() {
    for (text, harmless) in [
        ("<!channel> and <!here|here>", "@\u{200b}channel and @\u{200b}here"),
        ("<!subteam^S1|@ops> <!subteam^S1>", "@\u{200b}ops @\u{200b}subteam"),
        ("@channel @Here, (@everyone)", "@\u{200b}channel @\u{200b}Here, (@\u{200b}everyone)"),
        ("<!<!here>>", "&lt;!@\u{200b}here>"),
        ("<!open", "&lt;!open"),
    ] {
        assert_eq!(neutralise(text), harmless);
    }
    for text in ["", "@channels @bob bob@here.org <@U1> <https://x.y|z>", "<!date^1^{date}|then>"] {
        assert!(matches!(neutralise(text), Cow::Borrowed(same) if same == text), "{text}");
    }
}

#[test]
fn documents_of_jira() {
    let text = |text: &str, marks: &[Value]| json!({"type": "text", "text": text, "marks": marks});
    let paragraph = |content: Value| json!({"type": "paragraph", "content": content});
    let item = |content: Value| json!({"type": "listItem", "content": content});
    let mark = |kind: &str| json!({"type": kind});
    let document = json!({"type": "doc", "version": 1, "content": [
        {"type": "heading", "attrs": {"level": 2}, "content": [text("Plan", &[])]},
        paragraph(json!([text("be ", &[]), text("bold ", &[mark("strong")]), text("x*y", &[mark("code")]),
            {"type": "hardBreak"}, text("site", &[json!({"type": "link", "attrs": {"href": "https://x.y"}})])])),
        {"type": "bulletList", "content": [
            item(json!([paragraph(json!([text("one", &[])])),
                {"type": "orderedList", "attrs": {"order": 3}, "content": [item(json!([paragraph(json!([text("deep", &[])]))]))]}])),
            item(json!([paragraph(json!([text("two", &[mark("em"), mark("strike")])]))]))]},
        {"type": "blockquote", "content": [paragraph(json!([text("said", &[])])), paragraph(json!([text("so", &[])]))]},
        {"type": "codeBlock", "attrs": {"language": "rust"}, "content": [text("a();\nb();", &[])]},
        {"type": "table", "content": [{"type": "tableRow", "content": [
            {"type": "tableCell", "content": [paragraph(json!([text("l", &[])]))]},
            {"type": "tableCell", "content": [paragraph(json!([text("r", &[])]))]}]}]},
        paragraph(json!([{"type": "mention", "attrs": {"id": "5", "text": "@Ada"}}, text(" ", &[]),
            {"type": "emoji", "attrs": {"shortName": ":x:", "text": "❌"}}, text(" ", &[]),
            {"type": "date", "attrs": {"timestamp": "1709208000000"}}, text(" ", &[]),
            {"type": "inlineCard", "attrs": {"url": "https://card.y"}}, {"type": "new", "content": [text("!", &[])]}])),
    ]});
    assert_eq!(
        adf_to_plain(&document),
        "Plan\n\nbe bold x*y\nsite (https://x.y)\n\n- one\n  3. deep\n- two\n\nsaid\nso\n\na();\nb();\nl | r\n\n\
         @Ada ❌ 2024-02-29 https://card.y!"
    );
    assert_eq!(
        adf_to_markdown(&document),
        "## Plan\n\nbe **bold** `x*y`\n[site](https://x.y)\n\n- one\n  3. deep\n- _~~two~~_\n\n> said\n> so\n\n\
         ```rust\na();\nb();\n```\nl | r\n\n@Ada ❌ 2024-02-29 <https://card.y>!"
    );
    assert_eq!(adf_to_plain(&json!("a\nb")), "a\nb");
    assert_eq!(adf_to_markdown(&json!("*a*")), r"\*a\*");
    assert_eq!(adf_to_plain(&Value::Null), "");
    let mut deep = text("bottom", &[]);
    for _ in 0..100 {
        deep = json!({"type": "panel", "content": [deep]});
    }
    assert_eq!(adf_to_plain(&deep), "");
}

#[test]
fn comments_of_clickup() {
    let blocks = json!([
        {"text": "Hi ", "attributes": {"bold": true}},
        {"type": "tag", "user": {"id": 7, "username": "Ada"}, "text": "@Ada"},
        {"text": " and "},
        {"type": "tag", "user": {"id": 7, "username": "Bob"}},
        {"type": "tag", "user": {"id": 9}},
        {"type": "emoticon", "text": "x", "emoticon": {"code": "1f469-200d-1f4bb"}},
        {"type": "image", "image": {"name": "a.png"}},
        {"type": "bookmark", "bookmark": {"url": "https://x.y"}},
        {"text": "\n", "attributes": {"block-id": "b"}}, 5, null,
    ]);
    let plain = "Hi @Ada and @Bob@9\u{1f469}\u{200d}\u{1f4bb}a.pnghttps://x.y";
    assert_eq!(clickup_comment_to_plain(&blocks), plain);
    assert_eq!(clickup_comment_to_plain(&json!({"id": "1", "comment": blocks})), plain);
    assert_eq!(clickup_comment_to_plain(&json!({"comment": [{"text": "no"}], "text_content": "yes\n"})), "yes");
    assert_eq!(clickup_comment_to_plain(&json!({"comment_text": "yes", "text_content": ""})), "yes");
    assert_eq!(clickup_comment_to_plain(&json!("text")), "text");
    assert_eq!(clickup_comment_to_plain(&json!(7)), "");
}

/// Plenty of whatever makes a careless reader quadratic.
#[test]
fn hostile_texts_take_linear_time() {
    let begun = std::time::Instant::now();
    for unit in [
        "<",
        "<!",
        "<@",
        "*a ",
        " *a",
        "_*~",
        "`",
        "` `` ",
        "[",
        "](",
        "[](",
        "![a](b",
        "[a](<",
        "&",
        "&gt;",
        "**a _b ",
        "<!--",
        "<https://",
        "https://a)",
        "> ",
        ">",
        "- ",
        "\\",
        "\n",
        "h",
        "***a",
        "#",
        "~~a ",
        "[a](b \"",
    ] {
        let text = unit.repeat(200_000 / unit.len());
        for length in [slack_to_plain(&text, &Ids).len(), slack_to_markdown(&text, &Ids).len(), neutralise(&text).len()]
        {
            assert!(length <= 2_000_000);
        }
        assert!(markdown_to_plain(&text).len() + markdown_to_slack(&text).len() <= 4_000_000);
    }
    // Quadratic, one of them alone would take minutes.
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
}

/// A formatted text and the words that it says.
#[derive(Clone, Debug)]
struct Said {
    mrkdwn: String,
    markdown: String,
    plain: String,
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé]{1,6}( [a-z0-9]{1,5}){0,2}"
}

fn inline() -> impl Strategy<Value = Said> {
    let styled = |slack: &'static str, markdown: &'static str| {
        words().prop_map(move |plain| Said {
            mrkdwn: format!("{slack}{plain}{slack}"),
            markdown: format!("{markdown}{plain}{markdown}"),
            plain,
        })
    };
    prop_oneof![
        styled("", ""),
        styled("*", "**"),
        styled("_", "_"),
        styled("~", "~~"),
        styled("`", "`"),
        words().prop_map(|label| Said {
            mrkdwn: format!("<https://x.y/?a=1&amp;b|{label}>"),
            markdown: format!("[{label}](https://x.y/?a=1&b)"),
            plain: format!("{label} (https://x.y/?a=1&b)"),
        }),
        words().prop_map(|word| Said {
            mrkdwn: format!("&lt;{word}&gt; &amp;"),
            markdown: format!("&lt;{word}> &amp;"),
            plain: format!("<{word}> &"),
        }),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let line = (prop_oneof![Just(("", "", "")), Just(("• ", "- ", "- "))], proptest::collection::vec(inline(), 1..5));
    proptest::collection::vec(line, 1..4).prop_map(|lines| {
        let join = |of: fn(&Said) -> &str, prefix: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
            let line = |(begin, parts): &((&'static str, &'static str, &'static str), Vec<Said>)| {
                format!("{}{}", prefix(begin), parts.iter().map(of).collect::<Vec<_>>().join(" "))
            };
            lines.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        Said {
            mrkdwn: join(|said| &said.mrkdwn, |prefix| prefix.0),
            markdown: join(|said| &said.markdown, |prefix| prefix.1),
            plain: join(|said| &said.plain, |prefix| prefix.2),
        }
    })
}

proptest! {
    /// Both formats say the same, plain text has nothing of either's controls,
    /// and each is what the other becomes.
    #[test]
    fn the_words_survive(said in said()) {
        prop_assert_eq!(&slack_to_plain(&said.mrkdwn, &Ids), &said.plain);
        prop_assert_eq!(&markdown_to_plain(&said.markdown), &said.plain);
        prop_assert_eq!(&slack_to_markdown(&said.mrkdwn, &Ids), &said.markdown);
        prop_assert_eq!(&markdown_to_slack(&said.markdown), &said.mrkdwn);
    }

    /// Text that only looks formatted is still the same text behind Markdown.
    #[test]
    fn text_is_not_taken_for_formatting(text in "[a-c *_~`#>+<&\\[\\]()!\\\\.1-]{0,30}") {
        // Two styled stretches that touch become one, and Markdown cannot say
        // every stretch that mrkdwn can.
        let mut characters: Vec<char> = text.chars().collect();
        characters.dedup_by(|one, other| one == other && "*_~".contains(*one));
        let text: String = characters.into_iter().collect();
        let mrkdwn = format!("x {}", text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        let plain = slack_to_plain(&mrkdwn, &Ids);
        prop_assert_eq!(markdown_to_plain(&slack_to_markdown(&mrkdwn, &Ids)), plain);
    }

    #[test]
    fn any_text_is_answered(text in "([\\PC\n]|[<>@!#|*_~`&;\\[\\]()\\\\\n-]){0,80}") {
        let _ = (slack_to_plain(&text, &Ids), slack_to_markdown(&text, &Ids), markdown_to_plain(&text));
        let mrkdwn = markdown_to_slack(&text);
        for token in ["<!", "<@", "<#"] {
            prop_assert!(!mrkdwn.contains(token), "{mrkdwn}");
        }
    }

    #[test]
    fn harmless_text_stays_as_it_is(text in "([a-z<>!|^ ]|@here|<!channel>|@channel|<!subteam\\^S1){0,20}") {
        let once = neutralise(&text).into_owned();
        prop_assert!(matches!(neutralise(&once), Cow::Borrowed(_)), "{once}");
        prop_assert!(!once.contains("<!") && !once.contains(" @here "), "{once}");
    }
}
