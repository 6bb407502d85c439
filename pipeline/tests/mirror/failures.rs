//! What is decided when a command fails, or nobody can tell.

use pipeline::event::{MirrorStage, MirrorWork};
use serde_json::json;

use super::hub::{Hub, said};

#[test]
fn an_uncertain_post_is_sent_once_more_unless_its_echo_comes() {
    for (echo_comes, expected) in [(true, 0), (false, 1)] {
        let mut hub = Hub::with_task();
        hub.comment(7, 1, "hello");
        let post = hub.one();
        hub.ended(&post, MirrorStage::Uncertain, "unavailable");
        if echo_comes {
            let metadata = json!({ "event_type": "nexus_origin", "event_payload": { "id": post.id, "part": 1 } });
            hub.slack_event(json!({
                "type": "message", "channel": "C1", "user": "U0NEXUS", "bot_id": "B1", "ts": "1.1", "thread_ts": "1.0",
                "text": "hello", "metadata": metadata,
            }));
            assert_eq!(hub.last_event()["echo"], true);
        }
        hub.pass(20_000);
        assert!(hub.commanded().is_empty());
        hub.pass(11_000);
        let again = hub.commanded();
        assert_eq!(again.len(), expected, "{again:#?}");
        if let Some(again) = again.first() {
            assert_eq!((again.attempt, said(again)), (2, "hello"));
            hub.ended(again, MirrorStage::Uncertain, "unavailable");
            hub.pass(60_000);
            assert!(hub.commanded().is_empty(), "twice is enough");
        }
    }
}

#[test]
fn who_wrote_what_cannot_be_copied_is_told() {
    let mut hub = Hub::with_task();
    hub.slack("U1", "1.1", "1.0", "hello");
    let comment = hub.one();
    hub.ended(&comment, MirrorStage::Failed, "unauthorised");
    let whisper = hub.one();
    let MirrorWork::Whisper { channel_id, thread_ts, user_id, .. } = &whisper.work else { panic!("{whisper:?}") };
    assert_eq!((&**channel_id, thread_ts.as_deref(), &**user_id), ("C1", Some("1.0"), "U1"));
    assert_eq!(said(&whisper), "What you wrote could not be copied to ClickUp: unauthorised.");
    hub.ended(&whisper, MirrorStage::Failed, "refused");
    assert!(hub.commanded().is_empty());
    // The next edit tries again, with all of it.
    hub.slack_event(json!({
        "type": "message", "subtype": "message_changed", "channel": "C1", "ts": "1.2",
        "message": { "type": "message", "user": "U1", "ts": "1.1", "thread_ts": "1.0", "text": "hello again", "edited": { "ts": "1.2" } },
        "previous_message": { "user": "U1", "ts": "1.1", "thread_ts": "1.0", "text": "hello" },
    }));
    assert_eq!(said(&hub.one()), "hello again");
}

#[test]
fn a_thread_that_could_not_begin_is_tried_again_with_the_next_word() {
    let mut hub = Hub::new();
    hub.task_created("t1");
    let root = hub.one();
    hub.comment(7, 1, "first");
    hub.ended(&root, MirrorStage::Failed, "not_found");
    assert!(hub.commanded().is_empty());
    hub.pass(30_000);
    hub.comment(7, 2, "second");
    assert!(hub.commanded().is_empty(), "not so soon");
    hub.pass(31_000);
    hub.comment(7, 3, "third");
    let root = hub.one();
    assert!(said(&root).contains("Mend it"));
    hub.done(&root, &["1.0"]);
    for (ts, expected) in [("1.1", "first"), ("1.2", "second"), ("1.3", "third")] {
        let command = hub.one();
        assert_eq!(said(&command), expected);
        hub.done(&command, &[ts]);
    }
}

#[test]
fn what_waits_too_long_for_its_thread_is_given_up() {
    let mut hub = Hub::new();
    hub.task_created("t1");
    let root = hub.one();
    hub.comment(7, 1, "first");
    hub.ended(&root, MirrorStage::Failed, "not_found");
    hub.pass(24 * 3_600_000 + 1_000);
    assert_eq!(hub.partition.mirrored().1, 0, "nothing waits");
}
