//! The views that people ask for. Each is a query in `sql/views`, which says
//! what a row is.

/// THE list: name and query.
pub const VIEWS: &[(&str, &str)] = &[
    ("actions", include_str!("../../../sql/views/actions.sql")),
    ("agent_activity", include_str!("../../../sql/views/agent_activity.sql")),
    ("deliveries", include_str!("../../../sql/views/deliveries.sql")),
    ("dispatch_latency", include_str!("../../../sql/views/dispatch_latency.sql")),
    ("sync_events", include_str!("../../../sql/views/sync_events.sql")),
    ("threads", include_str!("../../../sql/views/threads.sql")),
    ("usage", include_str!("../../../sql/views/usage.sql")),
    ("work_items", include_str!("../../../sql/views/work_items.sql")),
];

/// The query of a name.
pub fn view(name: &str) -> Option<&'static str> {
    VIEWS.iter().find(|(known, _)| *known == name).map(|(_, query)| *query)
}
