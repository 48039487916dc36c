//! nf_tables' messages, and those of their attributes that several of these modules name, by their numbers
//! (linux/netfilter/nf_tables.h).

/// `NFNL_SUBSYS_NFTABLES`.
pub(super) const SUBSYSTEM: u16 = 10;

const fn nft(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}

pub(super) const NEWTABLE: u16 = nft(0);
pub(super) const GETTABLE: u16 = nft(1);
pub(super) const DELTABLE: u16 = nft(2);
pub(super) const NEWCHAIN: u16 = nft(3);
pub(super) const GETCHAIN: u16 = nft(4);
pub(super) const DELCHAIN: u16 = nft(5);
pub(super) const NEWRULE: u16 = nft(6);
pub(super) const GETRULE: u16 = nft(7);
pub(super) const DELRULE: u16 = nft(8);
pub(super) const NEWSET: u16 = nft(9);
pub(super) const GETSET: u16 = nft(10);
pub(super) const DELSET: u16 = nft(11);
pub(super) const NEWSETELEM: u16 = nft(12);
pub(super) const GETSETELEM: u16 = nft(13);
pub(super) const DELSETELEM: u16 = nft(14);
pub(super) const NEWGEN: u16 = nft(15);
pub(super) const GETGEN: u16 = nft(16);
pub(super) const NEWOBJ: u16 = nft(18);
pub(super) const GETOBJ: u16 = nft(19);
pub(super) const DELOBJ: u16 = nft(20);
pub(super) const DESTROYSETELEM: u16 = nft(30);

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const SET_NAME: u16 = 2;
pub(super) const OBJ_NAME: u16 = 2;
pub(super) const OBJ_TYPE: u16 = 3;
/// `NFT_OBJECT_COUNTER`.
pub(super) const OBJECT_COUNTER: u32 = 1;
