//! Which shards may be read: a child only once its parents are drained.
//!
//! "If you read data from the child shards before having read all data from the parent shards, you could read data for a
//! particular hash key out of the order given by the data records' sequence numbers. Therefore, assuming that the order
//! of the data is important, you should, after a reshard, always continue to read data from the parent shards until it
//! is exhausted. Only then should you begin reading data from the child shards."
//! (<https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html>)

use ports::{Shard, ShardId};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Drained,
}

#[derive(Debug)]
struct Node {
    shard: Shard,
    state: State,
    listed: bool,
    discovered_later: bool,
}

/// A shard to start, and what decides where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStart {
    /// The shard.
    pub shard: Shard,
    /// It came up after the mapping's first look at the stream: without a checkpoint it starts at its oldest record,
    /// whatever the starting position, because everything in it is new.
    pub discovered_later: bool,
}

/// The stream's shards, and how far each is. Pure: feed it listings and the news of drained shards.
#[derive(Debug, Default)]
pub struct ShardGraph {
    nodes: BTreeMap<ShardId, Node>,
    has_listing: bool,
}

impl ShardGraph {
    /// A graph that knows no shard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a complete listing of the stream. A shard that is listed no more has expired with all its records.
    pub fn listed(&mut self, shards: Vec<Shard>) {
        for node in self.nodes.values_mut() {
            node.listed = false;
        }
        let discovered_later = self.has_listing;
        for shard in shards {
            let id = shard.id.clone();
            let node = Node { shard, state: State::Waiting, listed: true, discovered_later };
            self.nodes.entry(id).or_insert(node).listed = true;
        }
        self.nodes.retain(|_, node| node.listed || node.state == State::Running);
        self.has_listing = true;
    }

    /// The shards that may start now; each is handed out once.
    pub fn start_ready(&mut self) -> Vec<ShardStart> {
        let ready: Vec<_> =
            self.nodes.values().filter(|node| self.may_start(node)).map(|node| node.shard.id.clone()).collect();
        let mut starts = Vec::with_capacity(ready.len());
        for id in ready {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.state = State::Running;
                starts.push(ShardStart { shard: node.shard.clone(), discovered_later: node.discovered_later });
            }
        }
        starts
    }

    /// `shard` is read to its end, and all of it is done and checkpointed.
    pub fn drained(&mut self, shard: &ShardId) {
        if let Some(node) = self.nodes.get_mut(shard) {
            node.state = State::Drained;
        }
    }

    /// Whether the last listing had `shard`.
    pub fn is_listed(&self, shard: &ShardId) -> bool {
        self.nodes.get(shard).is_some_and(|node| node.listed)
    }

    /// A parent that is not known has expired: it holds no record that could still come before its children's.
    fn may_start(&self, node: &Node) -> bool {
        let is_done = |parent: &ShardId| self.nodes.get(parent).is_none_or(|node| node.state == State::Drained);
        let mut parents = node.shard.parent.iter().chain(&node.shard.adjacent_parent);
        node.state == State::Waiting && parents.all(is_done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        let parent = |index: usize| parents.get(index).map(|parent| ShardId((*parent).to_owned()));
        Shard { id: ShardId(id.to_owned()), parent: parent(0), adjacent_parent: parent(1) }
    }

    fn starts(graph: &mut ShardGraph) -> Vec<String> {
        graph.start_ready().into_iter().map(|start| start.shard.id.0).collect()
    }

    // "You should, after a reshard, always continue to read data from the parent shards until it is exhausted. Only then
    // should you begin reading data from the child shards."
    #[test]
    fn a_merged_child_waits_for_both_parents() {
        let mut graph = ShardGraph::new();
        graph.listed(vec![shard("a", &[]), shard("b", &[]), shard("c", &["a", "b"])]);
        assert_eq!(starts(&mut graph), ["a", "b"]);
        graph.drained(&ShardId("a".into()));
        assert_eq!(starts(&mut graph), [""; 0]);
        graph.drained(&ShardId("b".into()));
        assert_eq!(starts(&mut graph), ["c"]);
        assert_eq!(starts(&mut graph), [""; 0]);
    }

    #[test]
    fn a_parent_that_expired_while_it_ran_still_holds_its_children_back() {
        let mut graph = ShardGraph::new();
        graph.listed(vec![shard("a", &[])]);
        assert_eq!(starts(&mut graph), ["a"]);
        graph.listed(vec![shard("b", &["a"])]);
        assert!(!graph.is_listed(&ShardId("a".into())));
        assert_eq!(starts(&mut graph), [""; 0]);
        graph.drained(&ShardId("a".into()));
        assert_eq!(starts(&mut graph), ["b"]);
    }

    #[test]
    fn children_of_parents_that_were_never_listed_start_at_once() {
        let mut graph = ShardGraph::new();
        graph.listed(vec![shard("b", &["gone"])]);
        assert_eq!(starts(&mut graph), ["b"]);
    }

    #[test]
    fn only_shards_after_the_first_listing_count_as_discovered_later() {
        let mut graph = ShardGraph::new();
        graph.listed(vec![shard("a", &[])]);
        graph.listed(vec![shard("a", &[]), shard("z", &[])]);
        let later: Vec<_> = graph.start_ready().into_iter().map(|start| start.discovered_later).collect();
        assert_eq!(later, [false, true]);
    }
}
