//! What happens on a router in a hundred minutes, as a pack of cards that is dealt anew for each: which there are, how
//! many of each, and in which order a seed puts them.

use super::random::Random;
use super::router::Anew;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// The Sentinel publishes changes.
    Deltas,
    /// Some of them do not arrive.
    LostDeltas,
    /// DisWall bans somebody, takes a ban back, allows, takes that back.
    Ban,
    Unban,
    DisWallAllows,
    DisWallDisallows,
    /// Somebody touches a port at which the kernel bans by itself; another one; somebody who was banned does it again.
    Honeypot,
    ClosedPort,
    Again,
    /// Somebody fails to log in too often; somebody is only accused of it.
    Login,
    Forged,
    /// The owner's commands.
    Block,
    BlockLasting,
    Unblock,
    Allow,
    AllowLasting,
    Disallow,
    Kick,
    /// A list has changed and is read anew; it is switched off or on.
    List,
    Switch,
    /// The configuration is read anew.
    Reload,
    /// `fw4 reload`, `fw4 restart`, `nft flush ruleset`, sets emptied by somebody, or deleted.
    FirewallReload,
    FirewallRestart,
    FirewallFlush,
    SetsFlushed,
    /// A server goes and comes; nothing comes through for a while; the uplink is down.
    FeedCut,
    LinkLoss,
    UplinkDown,
    /// Somebody sets the wall clock.
    Clock,
    /// The daemon ends and begins anew.
    Anew(Anew),
    /// All is compared.
    Compare,
}

/// How many of each are in a pack.
const PACK: [(Card, usize); 28] = [
    (Card::Deltas, 8),
    (Card::LostDeltas, 1),
    (Card::Ban, 4),
    (Card::Unban, 2),
    (Card::DisWallAllows, 1),
    (Card::DisWallDisallows, 1),
    (Card::Honeypot, 3),
    (Card::ClosedPort, 2),
    (Card::Again, 2),
    (Card::Login, 2),
    (Card::Forged, 1),
    (Card::Block, 3),
    (Card::BlockLasting, 1),
    (Card::Unblock, 3),
    (Card::Allow, 1),
    (Card::AllowLasting, 1),
    (Card::Disallow, 2),
    (Card::Kick, 1),
    (Card::List, 2),
    (Card::Switch, 1),
    (Card::Reload, 1),
    (Card::FirewallReload, 1),
    (Card::FirewallRestart, 1),
    (Card::FirewallFlush, 1),
    (Card::SetsFlushed, 1),
    (Card::FeedCut, 1),
    (Card::LinkLoss, 1),
    (Card::UplinkDown, 1),
];

/// Every way of beginning anew.
const ANEW: [Anew; 4] = [Anew::Service, Anew::Crash, Anew::Reboot, Anew::PowerCut];

/// After the first pack the daemon begins anew in one of so many: what grows slowly needs a long life to show.
const LIFE: u64 = 20;

/// All is compared so often in a pack, at even distances and at its end.
const COMPARED: usize = 4;

/// The pack of that number.
pub fn pack(seed: u64, number: u64) -> Vec<Card> {
    let mut random = Random::new(seed, number << 32);
    let mut cards: Vec<Card> = PACK.iter().flat_map(|&(card, count)| std::iter::repeat_n(card, count)).collect();
    if number == 0 {
        cards.extend(ANEW.map(Card::Anew));
    } else if number.is_multiple_of(LIFE) {
        cards.extend(random.one_of(&ANEW).map(|how| Card::Anew(*how)));
    }
    // Twice: there and back.
    cards.extend([Card::Clock, Card::Clock]);
    random.shuffle(&mut cards);
    let share = cards.len().div_ceil(COMPARED);
    cards.chunks(share).flat_map(|part| part.iter().copied().chain([Card::Compare])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pack_has_everything_and_ends_with_a_comparison() {
        let first = pack(1, 0);
        for how in ANEW {
            assert!(first.contains(&Card::Anew(how)), "{how:?}");
        }
        for (card, count) in PACK {
            assert_eq!(first.iter().filter(|each| **each == card).count(), count, "{card:?}");
        }
        assert_eq!(first.iter().filter(|card| **card == Card::Compare).count(), COMPARED);
        assert_eq!(first.last(), Some(&Card::Compare));
    }

    #[test]
    fn a_seed_gives_the_same_packs_again_and_lives_are_long() {
        assert_eq!(pack(5, 3), pack(5, 3));
        assert_ne!(pack(5, 3), pack(6, 3));
        let anew = |number| pack(9, number).iter().filter(|card| matches!(card, Card::Anew(_))).count();
        assert_eq!((anew(0), anew(1), anew(20), anew(21)), (4, 0, 1, 0));
    }
}
