//! What people and agents do, on both sides.

use serde_json::{Value, json};

use super::{
    STATUSES, Sim, TASKS, Time, Topic,
    check::words_of,
    providers::{Post, US_IN_CLICKUP, US_IN_SLACK},
};

impl Sim {
    fn text(&mut self, message: u64) -> String {
        self.versions += 1;
        let version = self.versions;
        let count = if self.dice.percent(25) { 12 } else { 1 + self.dice.below(4) };
        let words: Vec<_> = (0..count).map(|place| format!("m{message}v{version}w{place}")).collect();
        words.join(" ")
    }

    fn new_text(&mut self) -> String {
        self.messages += 1;
        self.text(self.messages)
    }

    fn root_of(&self, task: &str) -> Option<String> {
        let title = format!("Task {task}");
        let mut roots = self.world.slack.iter().filter(|(_, post)| post.under.is_empty() && post.text.contains(&title));
        roots.next().map(|(ts, _)| ts.clone())
    }

    fn slack_posts(&self, is_wanted: impl Fn(&Post) -> bool) -> Vec<String> {
        let posts = self.world.slack.iter().filter(|(_, post)| !post.under.is_empty() && is_wanted(post));
        posts.map(|(ts, _)| ts.clone()).collect()
    }

    fn comments(&self, is_wanted: impl Fn(&Post) -> bool) -> Vec<u64> {
        self.world.clickup.iter().filter(|(_, post)| is_wanted(post)).map(|(id, _)| *id).collect()
    }

    /// Somebody does something.
    pub fn do_something(&mut self) {
        let task = TASKS[self.dice.below(2) as usize];
        let deed = self.dice.below(100);
        self.deeds += 1;
        match deed {
            0..20 => {
                let Some(root) = self.root_of(task) else { return };
                let author = ["U1", "U2"][self.dice.below(2) as usize].to_owned();
                let text = self.new_text();
                self.note(format!("{author} writes {text} in {root}"));
                self.world.slack_post(Post { author, text, under: root, ..Post::default() });
            }
            20..40 => {
                // One of them is the one whose token we use.
                let author = ["7", "8", US_IN_CLICKUP][self.dice.below(3) as usize].to_owned();
                let text = self.new_text();
                self.note(format!("{author} comments {text} on {task}"));
                self.world.clickup_post(Post { author, text, under: task.to_owned(), ..Post::default() });
            }
            40..52 => {
                let of_people = self.slack_posts(|post| post.author != US_IN_SLACK);
                let Some(ts) = self.dice.pick(&of_people) else { return };
                let Some((message, _)) = words_of(&self.world.slack[&ts].text).next() else { return };
                let text = self.text(message);
                self.note(format!("{ts} becomes {text}"));
                self.world.slack_edit(&ts, &text, false);
            }
            52..64 => {
                let of_people = self.comments(|post| post.mark.is_none());
                let Some(id) = self.dice.pick(&of_people) else { return };
                let author = self.world.clickup[&id].author.clone();
                let Some((message, _)) = words_of(&self.world.clickup[&id].text).next() else { return };
                let text = self.text(message);
                self.note(format!("comment {id} becomes {text}"));
                self.world.clickup_edit(id, &text, false, &author);
            }
            64..68 => {
                let of_people = self.slack_posts(|post| post.author != US_IN_SLACK);
                let Some(ts) = self.dice.pick(&of_people) else { return };
                self.note(format!("{ts} is deleted"));
                self.world.slack_delete(&ts);
            }
            68..72 => {
                // What nobody has heard of is not missed by anybody.
                if self.root_of(task).is_none() {
                    return;
                }
                let of_people = self.comments(|post| post.mark.is_none() && post.under == task);
                let Some(id) = self.dice.pick(&of_people) else { return };
                self.note(format!("comment {id} is deleted"));
                self.world.clickup_delete(id, true);
            }
            72..88 => self.speak(task),
            88..92 => self.meddle(),
            92..96 => {
                let status = STATUSES[self.dice.below(4) as usize];
                self.note(format!("7 moves {task} to {status}"));
                self.world.clickup_status(task, status, "7");
            }
            _ => {
                let status = ["TODO", "IN_PROGRESS", "BLOCKED_ON_HUMAN", "DONE"][self.dice.below(4) as usize];
                if self.root_of(task).is_none() {
                    return;
                }
                self.note(format!("agt_1 moves {task} to {status}"));
                self.act("agt_1", "status_update", json!({ "taskId": task, "status": status }));
            }
        }
    }

    /// An agent says something, or several things at once.
    fn speak(&mut self, task: &'static str) {
        // Whoever is not told of a task does not speak of it.
        if self.root_of(task).is_none() {
            return;
        }
        let agent = ["agt_1", "agt_2"][self.dice.below(2) as usize];
        let times = if self.dice.percent(20) { 5 } else { 1 };
        for _ in 0..times {
            let text = self.new_text();
            for (_, word) in words_of(&text) {
                *self.agents_words.entry(task).or_default().entry(word.to_owned()).or_default() += 1;
            }
            self.note(format!("{agent} says {text} on {task}"));
            self.act(agent, "message", json!({ "taskId": task, "text": text }));
        }
    }

    fn act(&mut self, agent: &str, name: &str, data: Value) {
        self.versions += 1;
        let (id, at) = (format!("act_{:032x}", self.versions), Time::from_ms(self.world.now_ms));
        let action = json!({ "id": id, "tenantId": "acme", "agentId": agent, "name": name, "data": data, "at": at });
        self.partition.append(Topic::AgentsActions, "acme", &action, self.world.now_ms);
    }

    /// Somebody changes or deletes one of our copies.
    fn meddle(&mut self) {
        match self.dice.below(4) {
            0 => {
                let ours = self.slack_posts(|post| post.author == US_IN_SLACK && words_of(&post.text).next().is_some());
                let Some(ts) = self.dice.pick(&ours) else { return };
                self.note(format!("our {ts} is deleted"));
                let text = self.world.slack[&ts].text.clone();
                self.loosen(&text);
                self.world.slack_delete(&ts);
            }
            1 => {
                let ours = self.comments(|post| post.mark.is_some() && words_of(&post.text).next().is_some());
                let Some(id) = self.dice.pick(&ours) else { return };
                self.note(format!("our comment {id} is deleted"));
                let text = self.world.clickup[&id].text.clone();
                self.loosen(&text);
                self.world.clickup_delete(id, true);
            }
            _ => {
                let ours = self.comments(|post| post.mark.is_some() && !post.tomb);
                let Some(id) = self.dice.pick(&ours) else { return };
                self.versions += 1;
                let text = format!("8 changed this x{}", self.versions);
                self.note(format!("our comment {id} is changed: {text}"));
                self.world.clickup_edit(id, &text, false, "8");
            }
        }
    }

    /// Of what somebody deleted our copy nothing is asked any more.
    fn loosen(&mut self, text: &str) {
        for (message, _) in words_of(text) {
            self.loose.insert(message);
        }
    }
}
