//! Brings what stands at a provider in line with what is to be said: the parts
//! that are there are changed, further ones are posted, those that nothing is
//! left for are taken away. How far it came is in the job's [`Progress`], so
//! that it goes on where it was.

use pipeline::event::MirrorPlace;
use udfs::{hash::hex, markup::Part};

use super::{
    job::{Progress, Standing},
    target::Target,
};
use providers::{
    capability::write::{Face, Found},
    client::ProviderError,
};

/// Says the parts. Of a message that stands there at least one part stays.
pub(super) async fn keep(
    target: &Target,
    place: &MirrorPlace,
    parts: &[Part],
    face: &Face,
    state: &mut Progress,
) -> Result<(), ProviderError> {
    let filled = parts.iter().filter(|part| !part.vacant).count();
    let kept = filled.max(usize::from(!state.standing.is_empty()));
    for part in parts.iter().take(kept) {
        let hash = Some(hex(part.content_hash));
        match state.standing.get_mut(part.index) {
            Some(standing) if standing.is_right => {}
            Some(standing) => {
                target.edit(place, &standing.id, part).await?;
                (standing.hash, standing.is_right) = (hash, true);
            }
            None => {
                let id = target.post(&within(target, place, state), part, face).await?;
                state.standing.push(Standing { id, hash, is_right: true });
            }
        }
    }
    clear(target, place, kept, state).await
}

/// Takes away all but the first parts.
pub(super) async fn clear(
    target: &Target,
    place: &MirrorPlace,
    kept: usize,
    state: &mut Progress,
) -> Result<(), ProviderError> {
    while state.standing.len() > kept
        && let Some(last) = state.standing.last()
    {
        target.remove(place, &last.id).await?;
        state.standing.pop();
    }
    Ok(())
}

/// Takes up what was found, in front of which nothing is missing.
pub(super) fn take_up(mut found: Vec<Found>, parts: &[Part], state: &mut Progress) {
    found.sort_by(|one, other| (one.part, &one.id).cmp(&(other.part, &other.id)));
    for found in found {
        let Some(index) = found.part.checked_sub(1) else { continue };
        let says = parts.get(index).map(|part| hex(part.content_hash));
        let is_right = says.as_deref() == Some(&*found.hash);
        let count = state.standing.len();
        match state.standing.get_mut(index) {
            Some(standing) if standing.id == found.id => standing.is_right |= is_right,
            None if index == count => {
                state.standing.push(Standing { id: found.id, hash: Some(found.hash), is_right });
            }
            _ => {}
        }
    }
}

/// Where the further parts of a message go.
pub(super) fn within(target: &Target, place: &MirrorPlace, state: &Progress) -> MirrorPlace {
    match state.standing.first() {
        Some(first) => target.write.place_of_parts(place, &first.id),
        None => place.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use udfs::markup::{Dialect, Document, Options, render};

    fn found(part: usize, id: &str, hash: &str) -> Found {
        Found { part, id: id.to_owned(), hash: hash.to_owned() }
    }

    #[test]
    fn what_was_found_is_taken_up_as_far_as_nothing_is_missing() {
        let text = "word ".repeat(900);
        let options = Options { limit: Some(2_000), ..Options::default() };
        let parts = render(Dialect::Slack, &Document::from_plain(&text), &options);
        assert!(parts.len() >= 3, "{}", parts.len());
        let right = hex(parts[0].content_hash);
        let mut state = Progress::default();
        take_up(vec![found(3, "3", "x"), found(1, "1", &right), found(1, "again", &right)], &parts, &mut state);
        assert_eq!(state.standing, [Standing { id: "1".to_owned(), hash: Some(right), is_right: true }]);
        take_up(vec![found(2, "2", "other words")], &parts, &mut state);
        assert_eq!((state.standing.len(), state.standing[1].is_right), (2, false), "it is put right");
    }
}
