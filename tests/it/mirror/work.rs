//! Each kind of work at each provider.

use pipeline::event::{
    ActorKind, MirrorAuthor, MirrorPlace, MirrorRemoval, MirrorStage, MirrorText, MirrorWork, TaskState,
};
use serde_json::json;

use super::{CHANNEL, Office, PROVIDERS, edit, place, post, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_is_changed_and_taken_back_everywhere() {
    let mut office = Office::open().await;
    for provider in PROVIDERS {
        let posted = office.does(post(provider, "It is **done**.")).await;
        assert_eq!(posted.stage, MirrorStage::Done, "{provider}: {posted:?}");
        assert_eq!(posted.parts.len(), 1, "{provider}");
        assert_eq!(posted.thread_ts.is_some(), provider == "slack");
        let said = office.said(provider);
        assert!(said.len() == 1 && said[0].contains("done"), "{provider}: {said:?}");

        let edited = office.does(edit(provider, posted.parts.clone(), "It is not.")).await;
        assert_eq!((edited.stage, &edited.parts[0].id), (MirrorStage::Done, &posted.parts[0].id), "{provider}");
        assert_ne!(edited.parts[0].hash, posted.parts[0].hash);
        let said = office.said(provider);
        assert!(said.len() == 1 && said[0].contains("It is not."), "{provider}: {said:?}");

        let (by, how) = (Some("Ada".to_owned()), MirrorRemoval::Tombstone);
        let work = MirrorWork::Retract { place: place(provider), parts: edited.parts.clone(), how, by };
        let left = office.does(work).await;
        assert_eq!((left.stage, left.parts.len()), (MirrorStage::Done, 1), "{provider}: {left:?}");
        assert!(office.said(provider)[0].contains("deleted by Ada"), "{provider}");

        let how = MirrorRemoval::Delete;
        let work = MirrorWork::Retract { place: place(provider), parts: edited.parts.clone(), how, by: None };
        let gone = office.does(work.clone()).await;
        assert_eq!((gone.stage, gone.parts.len()), (MirrorStage::Done, 0), "{provider}: {gone:?}");
        assert!(office.said(provider).is_empty(), "{provider}");
        assert_eq!(office.does(work).await.stage, MirrorStage::Done, "{provider}: gone is gone");
        let lost = office.does(edit(provider, edited.parts, "Again.")).await;
        assert_eq!((lost.stage, lost.code.as_deref()), (MirrorStage::Failed, Some("not_found")), "{provider}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_text_has_parts_and_an_edit_keeps_them_in_step() {
    let mut office = Office::open().await;
    let long = "word ".repeat(4_000);
    let posted = office.does(post("slack", &long)).await;
    assert_eq!((posted.stage, posted.parts.len()), (MirrorStage::Done, 2), "{posted:?}");
    let threads: Vec<_> = {
        let world = office.provider.fakes.world();
        world.slack_messages.all().map(|row| row["thread_ts"].clone()).collect()
    };
    assert_eq!(threads, [json!(null), json!(posted.thread_ts)], "the second is in the first's thread");
    let short = office.does(edit("slack", posted.parts.clone(), "short")).await;
    assert_eq!((short.parts.len(), office.said("slack")), (1, vec!["short".to_owned()]));
    let longer = office.does(edit("slack", short.parts, &"word ".repeat(6_000))).await;
    assert_eq!((longer.parts.len(), office.said("slack").len()), (3, 3), "{longer:?}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_agents_are_shown_and_called_as_they_are_known_there() {
    let mut office = Office::open().await;
    let author = MirrorAuthor {
        kind: ActorKind::Human,
        name: None,
        avatar: None,
        provider: "slack".to_owned(),
        external_id: Some("U0ADA".to_owned()),
        agent_id: None,
    };
    let text_ = MirrorText { from: "slack".to_owned(), ..text("@U0ADA look") };
    let work =
        |provider: &str| MirrorWork::Post { place: place(provider), text: text_.clone(), author: Some(author.clone()) };
    assert_eq!(office.does(work("github")).await.stage, MirrorStage::Done);
    let said = office.said("github").remove(0);
    assert!(said.contains("**Ada Novak** (Slack)") && said.contains("@ada-novak look"), "{said}");
    assert_eq!(office.does(work("clickup")).await.stage, MirrorStage::Done);
    let tag = office.provider.fakes.world().clickup_comments.all().next().unwrap()["comment"].to_string();
    assert!(tag.contains(r#""user":{"id":40118823}"#), "{tag}");

    let agent = MirrorAuthor {
        kind: ActorKind::Agent,
        avatar: Some("https://hub.example/fixer.png".to_owned()),
        provider: "nexus".to_owned(),
        external_id: None,
        agent_id: Some("agt_1".to_owned()),
        ..author
    };
    let work = MirrorWork::Post { place: place("slack"), text: text("@Ada_Novak <!channel>"), author: Some(agent) };
    assert_eq!(office.does(work).await.stage, MirrorStage::Done);
    let message = office.provider.fakes.world().slack_messages.all().next().unwrap().clone();
    assert_eq!(message["username"], "Fixer");
    assert!(!message["text"].as_str().unwrap().contains("<!channel>"), "{message}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_moved() {
    let mut office = Office::open().await;
    let work = |provider: &str, status: Option<&str>, state| MirrorWork::SetStatus {
        place: place(provider),
        status: status.map(str::to_owned),
        state,
    };
    for (provider, status, state, word) in [
        ("clickup", Some("in progress"), TaskState::InProgress, "in progress"),
        ("clickup", None, TaskState::Done, "complete"),
        ("github", None, TaskState::Done, "closed"),
        ("github", None, TaskState::Todo, "open"),
        ("jira", None, TaskState::InProgress, "In Progress"),
        ("jira", Some("done"), TaskState::Done, "Done"),
        ("jira", Some("done"), TaskState::Done, "Done"),
    ] {
        let moved = office.does(work(provider, status, state)).await;
        assert_eq!((moved.stage, moved.status.as_deref()), (MirrorStage::Done, Some(word)), "{provider}: {moved:?}");
    }
    {
        let world = office.provider.fakes.world();
        assert_eq!(world.clickup_tasks.get("t1").unwrap()["status"]["status"], "complete");
        assert_eq!(world.jira_issues.get("SHOP-1").unwrap()["fields"]["status"]["name"], "Done");
    }
    let refused = office.does(work("clickup", Some("no such"), TaskState::Done)).await;
    assert_eq!((refused.stage, refused.code.as_deref()), (MirrorStage::Failed, Some("refused")), "{refused:?}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whispers_and_channels_are_made_in_slack() {
    let mut office = Office::open().await;
    let whisper = MirrorWork::Whisper {
        channel_id: CHANNEL.to_owned(),
        thread_ts: None,
        user_id: "U0ADA".to_owned(),
        text: text("Only you see this."),
    };
    assert_eq!(office.does(whisper).await.stage, MirrorStage::Done);
    assert_eq!(office.provider.fakes.world().count("slack", "POST", "/api/chat.postEphemeral"), 1);
    let create = MirrorWork::CreateChannel {
        name: "Spring Sale 2027!".to_owned(),
        provider: "clickup".to_owned(),
        external_id: "9001".to_owned(),
        workgroup_id: "wg_1".to_owned(),
    };
    let (one, other) = (office.does(create.clone()).await, office.does(create).await);
    let name = |id: &Option<String>| {
        office.provider.fakes.world().slack_channels.get(id.as_deref().unwrap()).unwrap()["name"].clone()
    };
    assert_eq!(
        (name(&one.channel_id), name(&other.channel_id)),
        (json!("spring-sale-2027"), json!("spring-sale-2027-2"))
    );
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_why() {
    let mut office = Office::open().await;
    let unknown = MirrorPlace::Slack { channel_id: "C0NOWHERE".to_owned(), thread_ts: None };
    let work = MirrorWork::Post { place: unknown, text: text("Hello?"), author: None };
    assert_eq!(office.does(work).await.code.as_deref(), Some("not_found"));
    let mut command = office.command("acme", "lane", post("slack", "Hello?"));
    command.connection_id = "con-nothing".to_owned();
    office.write(&command).await;
    assert_eq!(office.end(&command.id).await.code.as_deref(), Some("no_connection"));
    let mut command = office.command("acme", "lane", post("slack", "Hello?"));
    command.connection_id = "con-jira".to_owned();
    office.write(&command).await;
    assert_eq!(office.end(&command.id).await.code.as_deref(), Some("unsupported"));
    let mut command = office.command("acme", "lane", post("slack", "Hello?"));
    command.deadline = pipeline::event::Time::from_ms(1);
    office.write(&command).await;
    assert_eq!(office.end(&command.id).await.code.as_deref(), Some("expired"));
    assert!(office.said("slack").is_empty());
    let graves = office.log.records(pipeline::topics::Topic::DeadLetters);
    assert_eq!(graves.len(), 4);
    let text = String::from_utf8(graves[0].value.clone().unwrap().to_vec()).unwrap();
    assert!(text.contains("C0NOWHERE") && text.contains(r#""stage":"mirror""#), "{text}");
    office.stop().await;
}
