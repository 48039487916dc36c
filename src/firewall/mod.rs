//! The kernel side: sets over netlink, rules text for fw4, conntrack, and the table watch.
