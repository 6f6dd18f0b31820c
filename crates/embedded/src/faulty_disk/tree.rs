//! The names and files of a disk, as programs see them and as they would be after a loss of power.

use super::database::{self, Change};
use super::losses::{Id, Losses, SECTOR};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

enum Node {
    Folder(BTreeMap<OsString, Name>),
    File { bytes: Vec<u8>, durable: usize },
    Database(Vec<Change>),
}

/// What a name has meant since its folder was last synced, and since which change: the first is durable, the last is
/// what programs see.
type Name = Vec<(u64, Option<Id>)>;

struct Rename {
    change: u64,
    id: Id,
    from: (Id, OsString),
    to: (Id, OsString),
}

impl Losses {
    pub(crate) fn add(&mut self, other: Losses) {
        self.names += other.names;
        self.files += other.files;
        self.changes += other.changes;
        self.torn += other.torn;
    }
}

pub(super) struct Tree {
    root: PathBuf,
    /// The root is the first.
    nodes: Vec<Node>,
    renames: Vec<Rename>,
    changes: u64,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Tree { root: root.to_owned(), nodes: vec![Node::Folder(BTreeMap::new())], renames: Vec::new(), changes: 0 }
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn names(&mut self, folder: Id) -> &mut BTreeMap<OsString, Name> {
        match &mut self.nodes[folder] {
            Node::Folder(names) => names,
            _ => panic!("a file where a folder is expected"),
        }
    }

    /// The folder of that path, and its last name. Folders that were made past the disk are durable.
    fn place(&mut self, path: &Path) -> (Id, OsString) {
        let folder = self.folder(path.parent().expect("below the root"));
        (folder, path.file_name().expect("a name").to_owned())
    }

    fn folder(&mut self, path: &Path) -> Id {
        let inside = path.strip_prefix(&self.root).expect("below the root").to_owned();
        let mut folder = 0;
        for name in inside.iter() {
            let known = self.names(folder).get(name).and_then(|name| name.last()?.1);
            folder = known.unwrap_or_else(|| {
                let id = self.add(Node::Folder(BTreeMap::new()));
                self.names(folder).insert(name.to_owned(), vec![(0, Some(id))]);
                id
            });
        }
        folder
    }

    fn change(&mut self, (folder, name): &(Id, OsString), id: Option<Id>) -> u64 {
        self.changes += 1;
        let change = self.changes;
        self.names(*folder).entry(name.clone()).or_insert_with(|| vec![(0, None)]).push((change, id));
        change
    }

    fn current(&mut self, (folder, name): &(Id, OsString)) -> Option<Id> {
        self.names(*folder).get(name).and_then(|name| name.last()?.1)
    }

    pub(super) fn create_file(&mut self, path: &Path) -> Id {
        let place = self.place(path);
        let id = self.add(Node::File { bytes: Vec::new(), durable: 0 });
        self.change(&place, Some(id));
        id
    }

    pub(super) fn create_folder(&mut self, path: &Path) {
        let place = self.place(path);
        let id = self.add(Node::Folder(BTreeMap::new()));
        self.change(&place, Some(id));
    }

    /// The database of that path, whose file is there.
    pub(super) fn database(&mut self, path: &Path) -> Id {
        let place = self.place(path);
        if let Some(id) = self.current(&place) {
            if !matches!(self.nodes[id], Node::Database(_)) {
                self.nodes[id] = Node::Database(Vec::new());
            }
            return id;
        }
        let id = self.add(Node::Database(Vec::new()));
        self.change(&place, Some(id));
        id
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        let (from, to) = (self.place(from), self.place(to));
        let Some(id) = self.current(&from) else { return };
        let change = self.change(&from, None);
        self.names(to.0).entry(to.1.clone()).or_insert_with(|| vec![(0, None)]).push((change, Some(id)));
        self.renames.push(Rename { change, id, from, to });
    }

    /// Removes the file itself too: a database's content is kept, because its name may come back.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let place = self.place(path);
        if let Some(id) = self.current(&place) {
            if let Node::Database(_) = self.nodes[id] {
                let bytes = fs::read(path)?;
                self.nodes[id] = Node::File { durable: bytes.len(), bytes };
            }
            fs::remove_file(path)?;
            self.change(&place, None);
            return Ok(());
        }
        fs::remove_file(path)
    }

    pub(super) fn append(&mut self, id: Id, more: &[u8]) {
        if let Node::File { bytes, .. } = &mut self.nodes[id] {
            bytes.extend(more);
        }
    }

    pub(super) fn sync_file(&mut self, id: Id) {
        if let Node::File { bytes, durable } = &mut self.nodes[id] {
            *durable = bytes.len();
        }
    }

    /// What was done to a database since its last sync.
    pub(super) fn database_changes(&mut self, id: Id) -> &mut Vec<Change> {
        match &mut self.nodes[id] {
            Node::Database(changes) => changes,
            _ => panic!("not a database"),
        }
    }

    pub(super) fn sync_folder(&mut self, path: &Path) {
        if !path.starts_with(&self.root) {
            return;
        }
        let folder = self.folder(path);
        self.names(folder).retain(|_, name| {
            name.drain(..name.len() - 1);
            name[0].1.is_some()
        });
        let (synced, pending) =
            std::mem::take(&mut self.renames).into_iter().partition(|r| r.from.0 == folder || r.to.0 == folder);
        self.renames = pending;
        for Rename { change, to, .. } in synced {
            // A rename whose old name is durably gone has a durable new one.
            if let Some(name) = self.names(to.0).get_mut(&to.1)
                && let Some(at) = name.iter().position(|(since, _)| *since == change)
            {
                name.drain(..at);
            }
        }
    }

    /// Every path with what it means to programs.
    fn paths(&self) -> BTreeMap<PathBuf, Id> {
        let mut paths = BTreeMap::new();
        let mut folders = vec![(self.root.clone(), 0)];
        while let Some((path, folder)) = folders.pop() {
            let Node::Folder(names) = &self.nodes[folder] else { continue };
            for (name, id) in names.iter().filter_map(|(name, values)| Some((name, values.last()?.1?))) {
                folders.push((path.join(name), id));
                paths.insert(path.join(name), id);
            }
        }
        paths
    }

    pub(super) fn lose_power(&mut self, random: &mut StdRng) -> io::Result<Losses> {
        let mut losses = Losses::default();
        let before = self.paths();
        let mut databases = BTreeSet::new();
        for (path, id) in &before {
            if let Node::Database(changes) = &mut self.nodes[*id]
                && databases.insert(*id)
            {
                database::lose_power(path, &std::mem::take(changes), random, &mut losses)?;
            }
        }
        self.choose_names(random);
        for node in &mut self.nodes {
            if let Node::File { bytes, durable } = node {
                losses.files += u64::from(tear(bytes, *durable, random));
                *durable = bytes.len();
            }
        }
        let after = self.paths();
        losses.names = before.iter().filter(|(path, id)| after.get(*path) != Some(id)).count() as u64
            + after.keys().filter(|path| !before.contains_key(*path)).count() as u64;
        self.replace(&before, &after)?;
        Ok(losses)
    }

    /// Gives each name one of its meanings: any, but for a file that was renamed, which keeps one of its names.
    fn choose_names(&mut self, random: &mut StdRng) {
        let mut chosen: BTreeMap<(Id, OsString), (u64, Option<Id>)> = BTreeMap::new();
        for (folder, node) in self.nodes.iter().enumerate() {
            let Node::Folder(names) = node else { continue };
            for (name, values) in names {
                let value = match random.random_range(0..5) {
                    0 | 1 => values.first(),
                    2 | 3 => values.last(),
                    _ => values.choose(random),
                };
                chosen.insert((folder, name.clone()), *value.expect("a name has a meaning"));
            }
        }
        for Rename { change, id, from, to } in std::mem::take(&mut self.renames) {
            let durable = self.names(from.0).get(&from.1).map(|values| values[0]);
            let (Some(durable), Some(from_is), Some(to_is)) = (durable, chosen.get(&from), chosen.get(&to)) else {
                continue;
            };
            if durable.1 == Some(id) && from_is.0 >= change && to_is.0 < change {
                chosen.insert(from, durable);
            }
        }
        for ((folder, name), value) in chosen {
            match value.1 {
                Some(_) => drop(self.names(folder).insert(name, vec![value])),
                None => drop(self.names(folder).remove(&name)),
            }
        }
    }

    /// Makes the real folder what it is after the loss.
    fn replace(&self, before: &BTreeMap<PathBuf, Id>, after: &BTreeMap<PathBuf, Id>) -> io::Result<()> {
        let paths_of = |paths: &BTreeMap<PathBuf, Id>, id: Id| -> Vec<PathBuf> {
            paths.iter().filter(|(_, other)| **other == id).map(|(path, _)| path.clone()).collect()
        };
        let mut moved: BTreeMap<Id, PathBuf> = BTreeMap::new();
        for (path, id) in before {
            match &self.nodes[*id] {
                Node::Database(_) if paths_of(before, *id) != paths_of(after, *id) => {
                    let aside = self.root.join(format!(".moved-{id}"));
                    fs::rename(path, &aside)?;
                    moved.insert(*id, aside);
                }
                Node::File { .. } => fs::remove_file(path)?,
                _ => {}
            }
        }
        for (path, id) in before.iter().rev() {
            if matches!(self.nodes[*id], Node::Folder(_)) && after.get(path) != Some(id) {
                fs::remove_dir_all(path)?;
            }
        }
        for (path, id) in after {
            match &self.nodes[*id] {
                Node::Folder(_) if !path.is_dir() => fs::create_dir(path)?,
                Node::File { bytes, .. } => fs::write(path, bytes)?,
                Node::Database(_) if moved.contains_key(id) => drop(fs::copy(&moved[id], path)?),
                _ => {}
            }
        }
        moved.values().try_for_each(fs::remove_file)
    }
}

/// Loses a part of the bytes that are not durable; whether any was lost.
fn tear(bytes: &mut Vec<u8>, durable: usize, random: &mut StdRng) -> bool {
    let whole = bytes.clone();
    let length = match random.random_range(0..4) {
        0 => durable,
        1 => random.random_range(durable..=bytes.len()),
        _ => bytes.len(),
    };
    bytes.truncate(length);
    // The length may be on the disk and the bytes not.
    let is_whole = random.random_bool(0.5);
    for sector in (durable..length).step_by(SECTOR) {
        if !is_whole && random.random_bool(0.5) {
            bytes[sector..(sector + SECTOR).min(length)].fill(0);
        }
    }
    *bytes != whole
}
