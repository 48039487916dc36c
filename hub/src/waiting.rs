//! What waits to be worked on, a queue for each login: their turns come one after the other, so that whoever asks much
//! waits for himself. Pure; `answers` puts its requests here.

use std::collections::{HashMap, VecDeque};

/// See the module's head.
#[derive(Debug)]
pub struct Waiting<T> {
    most: usize,
    queues: HashMap<String, VecDeque<T>>,
    /// Whose turn comes when; each login that has a queue once.
    turns: VecDeque<String>,
    length: usize,
}

impl<T> Waiting<T> {
    /// At most so many, of all logins together.
    pub fn new(most: usize) -> Waiting<T> {
        Waiting { most, queues: HashMap::new(), turns: VecDeque::new(), length: 0 }
    }

    /// Takes in one more. When there is no room, the login that has most waiting loses what came last, whoever that is:
    /// its name.
    pub fn push(&mut self, login: &str, what: T) -> Option<String> {
        let full = self.length >= self.most;
        let loser = full.then(|| self.longest(login)).flatten();
        match &loser {
            Some(loser) if loser == login => return Some(loser.clone()),
            Some(loser) => self.shorten(loser),
            None => {}
        }
        if !self.queues.contains_key(login) {
            self.turns.push_back(login.to_owned());
        }
        self.queues.entry(login.to_owned()).or_default().push_back(what);
        self.length += 1;
        loser
    }

    /// The next one: the oldest of the login whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let login = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&login)?;
        let what = queue.pop_front()?;
        self.length -= 1;
        if queue.is_empty() {
            self.queues.remove(&login);
        } else {
            self.turns.push_back(login);
        }
        Some(what)
    }

    /// Who has most waiting; among equals whoever asks now. Whoever has more than a fair share is not compared with all.
    fn longest(&self, asking: &str) -> Option<String> {
        let own = self.queues.get(asking).map_or(0, VecDeque::len);
        if own * self.queues.len() > self.length {
            return Some(asking.to_owned());
        }
        let longest = self.queues.iter().max_by_key(|(_, queue)| queue.len())?;
        Some(if longest.1.len() > own { longest.0.clone() } else { asking.to_owned() })
    }

    fn shorten(&mut self, login: &str) {
        let Some(queue) = self.queues.get_mut(login) else { return };
        self.length -= usize::from(queue.pop_back().is_some());
        if queue.is_empty() {
            self.queues.remove(login);
            self.turns.retain(|turn| turn != login);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_one_after_the_other() {
        let mut waiting = Waiting::new(10);
        for (login, what) in [("alice", 1), ("alice", 2), ("alice", 3), ("bob", 4), ("carol", 5), ("bob", 6)] {
            assert_eq!(waiting.push(login, what), None);
        }
        let order: Vec<i32> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order, [1, 4, 5, 2, 6, 3]);
        assert!(waiting.queues.is_empty() && waiting.turns.is_empty() && waiting.length == 0);
    }

    #[test]
    fn whoever_asks_most_loses_what_he_asked_last() {
        let mut waiting = Waiting::new(4);
        for what in 1..=4 {
            assert_eq!(waiting.push("mallory", what), None);
        }
        assert_eq!(waiting.push("mallory", 5).as_deref(), Some("mallory"));
        assert_eq!(waiting.push("alice", 6).as_deref(), Some("mallory"));
        assert_eq!(waiting.push("bob", 7).as_deref(), Some("mallory"));
        // Two of four are mallory's now: more than a share.
        assert_eq!(waiting.push("mallory", 8).as_deref(), Some("mallory"));
        let order: Vec<i32> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order, [1, 6, 7, 2]);
    }

    #[test]
    fn as_many_logins_as_there_is_room_for_share_it() {
        let mut waiting = Waiting::new(3);
        for (login, what) in [("alice", 1), ("bob", 2), ("carol", 3)] {
            assert_eq!(waiting.push(login, what), None);
        }
        // Everybody has one: one of them gives way, and the newcomer has its turn.
        assert!(waiting.push("dave", 4).is_some());
        let order: Vec<i32> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order.len(), 3);
        assert!(order.contains(&4));
        // No more than there is room for, whatever comes; each login that waits has one turn.
        for round in 0..1000 {
            waiting.push(&format!("login{}", round * 7 % 13), round);
            assert!(waiting.length <= 3 && waiting.turns.len() == waiting.queues.len());
        }
        assert_eq!(std::iter::from_fn(|| waiting.pop()).count(), 3);
    }
}
