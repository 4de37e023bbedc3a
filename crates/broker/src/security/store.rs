//! The SCRAM users of the cluster.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{ScramCredential, ScramHash};
use crate::journal::{Entry, Journal};

/// Credentials by user and mechanism. A change is applied first and written to the journal second.
#[derive(Debug)]
pub(crate) struct ScramStore {
    users: RwLock<BTreeMap<(String, ScramHash), ScramCredential>>,
    journal: Arc<Journal>,
}

impl ScramStore {
    pub(crate) fn new(users: BTreeMap<(String, ScramHash), ScramCredential>, journal: Arc<Journal>) -> Self {
        Self { users: RwLock::new(users), journal }
    }

    pub(crate) fn find(&self, user: &str, hash: ScramHash) -> Option<ScramCredential> {
        self.users.read().get(&(user.to_owned(), hash)).cloned()
    }

    /// Adds a user of the options unless the journal knows better.
    pub(crate) fn add_configured(&self, user: &str, password: &str, random: &mut fastrand::Rng) {
        for hash in [ScramHash::Sha256, ScramHash::Sha512] {
            let salt = random.u128(..).to_be_bytes().to_vec();
            let mut users = self.users.write();
            let place = users.entry((user.to_owned(), hash));
            place.or_insert_with(|| ScramCredential::of_password(hash, password, salt));
        }
    }

    pub(crate) fn set(&self, user: &str, hash: ScramHash, credential: ScramCredential) -> io::Result<()> {
        self.users.write().insert((user.to_owned(), hash), credential.clone());
        self.journal.append(&[Entry::ScramUser { user: user.to_owned(), hash, credential }])
    }

    /// Whether there was one to remove.
    pub(crate) fn remove(&self, user: &str, hash: ScramHash) -> io::Result<bool> {
        let removed = self.users.write().remove(&(user.to_owned(), hash)).is_some();
        if removed {
            self.journal.append(&[Entry::ScramUserDeleted { user: user.to_owned(), hash }])?;
        }
        Ok(removed)
    }

    /// Every user with mechanisms and iterations.
    pub(crate) fn list(&self) -> BTreeMap<String, Vec<(ScramHash, i32)>> {
        let mut listed: BTreeMap<String, Vec<(ScramHash, i32)>> = BTreeMap::new();
        for ((user, hash), credential) in &*self.users.read() {
            listed.entry(user.clone()).or_default().push((*hash, credential.iterations));
        }
        listed
    }

    /// Journal entries that make the store anew.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        let users = self.users.read();
        let entry = |((user, hash), credential): (&(String, ScramHash), &ScramCredential)| Entry::ScramUser {
            user: user.clone(),
            hash: *hash,
            credential: credential.clone(),
        };
        users.iter().map(entry).collect()
    }
}
