//! The services whose failed log-ins are known without being told: their programs and their patterns.
//!
//! Only lines about somebody who gave a wrong password or a user that does not exist; a closed connection
//! may be a monitor's. Read by the configuration (which services there are) and the daemon's `logins`.

/// A service: `name` is what the configuration and the ban's reason call it.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Its name, and DisWall's tag for it where DisWall has one (docs/protocols.md section 2).
    pub name: &'static str,
    /// Each program with its patterns.
    pub programs: &'static [(&'static str, &'static [&'static str])],
}

const OPENSSH: &[&str] = &[
    "Failed password for * from <HOST> port <NUM> ssh2",
    "Failed keyboard-interactive/pam for * from <HOST> port <NUM> ssh2",
    "Invalid user * from <HOST> port <NUM>",
    "Connection closed by authenticating user * <HOST> port <NUM> [preauth]",
];

/// Every service.
pub const SERVICES: &[Service] = &[
    Service {
        name: "ssh",
        programs: &[
            (
                // Newer ones: see the module `dropbear` for users that do not exist.
                "dropbear",
                &[
                    "Bad password attempt for '*' from <HOST>:<NUM>",
                    "Bad PAM password attempt for '*' from <HOST>:<NUM>",
                    "Login attempt for nonexistent user from <HOST>:<NUM>",
                    "Login attempt for nonexistent user '*' from <HOST>:<NUM>",
                ],
            ),
            ("sshd", OPENSSH),
            ("sshd-session", OPENSSH),
        ],
    },
    Service {
        name: "luci",
        programs: &[
            ("luci", &["failed login on * for * from <HOST>"]),
            (
                "uhttpd",
                &["luci: failed login on * for * from <HOST>", "[<WORD>] luci: failed login on * for * from <HOST>"],
            ),
        ],
    },
    Service {
        name: "smtp",
        programs: &[("postfix", &["warning: <WORD>[<HOST>]: SASL <WORD> authentication failed*"])],
    },
    Service {
        name: "sip",
        programs: &[(
            "asterisk",
            &[
                "NOTICE[<NUM>]: res_pjsip/pjsip_distributor.c:<NUM> log_failed_request: Request '<WORD>' from '*' \
                 failed for '<HOST>:<NUM>' (callid: <WORD>) - Failed to authenticate",
                "NOTICE[<NUM>]: res_pjsip/pjsip_distributor.c:<NUM> log_failed_request: Request '<WORD>' from '*' \
                 failed for '<HOST>:<NUM>' (callid: <WORD>) - No matching endpoint found",
                "NOTICE[<NUM>]: chan_sip.c:<NUM> handle_request_register: Registration from '*' \
                 failed for '<HOST>:<NUM>' - Wrong password",
                "NOTICE[<NUM>]: chan_sip.c:<NUM> handle_request_register: Registration from '*' \
                 failed for '<HOST>:<NUM>' - No matching peer found",
            ],
        )],
    },
    Service {
        name: "ftp",
        // With <WORD>: FTP commands are quoted in other lines of vsftpd's.
        programs: &[(
            "vsftpd",
            &["[pid <NUM>] [<WORD>] FAIL LOGIN: Client \"<HOST>\"", "[<WORD>] FAIL LOGIN: Client \"<HOST>\""],
        )],
    },
];

/// The service of that name.
pub fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::feed::login::{Line, Pattern};

    /// The service and the address that a line tells of.
    fn judged(text: &str) -> String {
        let line = Line::parse(text.as_bytes());
        let mut found = Vec::new();
        for service in SERVICES {
            for (program, patterns) in service.programs {
                for pattern in patterns.iter().filter(|_| line.program.is_none() || line.is_of(program)) {
                    let address = Pattern::new(pattern).unwrap().address(line.message);
                    found.extend(address.map(|address| format!("{} {address}", service.name)));
                }
            }
        }
        found.dedup();
        found.join(" and ")
    }

    /// Real lines, and lines that somebody with bad intent can bring about. 203.0.113.66 is always the one
    /// who was really there, 192.0.2.1 the one who is to be banned in his place.
    const LINES: &[(&str, &str)] = &[
        // dropbear
        (
            "Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[2101]: Bad password attempt for 'root' from 203.0.113.66:50112",
            "ssh 203.0.113.66",
        ),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[2101]: Bad password attempt for 'root' from 2001:db8::66:50112",
            "ssh 2001:db8::66",
        ),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[2101]: Login attempt for nonexistent user from 203.0.113.66:43210",
            "ssh 203.0.113.66",
        ),
        ("[2101] Nov 21 10:00:00 Bad password attempt for 'root' from 203.0.113.66:50112", "ssh 203.0.113.66"),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[2101]: Bad password attempt for 'x' from 192.0.2.1:22' from 203.0.113.66:50112",
            "ssh 203.0.113.66",
        ),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.info dropbear[2101]: Exit before auth from <203.0.113.66:50112>: Exited normally",
            "",
        ),
        ("[2101] Nov 21 10:00:00 Login attempt for nonexistent user", ""),
        ("Sat Nov 21 10:00:00 2026 authpriv.info dropbear[2101]: Child connection from 203.0.113.66:50112", ""),
        (
            "Sat Nov 21 10:00:00 2026 authpriv.notice dropbear[2101]: Password auth succeeded for 'root' from 203.0.113.66:50112",
            "",
        ),
        ("Sat Nov 21 10:00:00 2026 daemon.info dnsmasq[7]: Bad password attempt for 'root' from 192.0.2.1:50112", ""),
        // OpenSSH
        (
            "Nov 21 10:00:00 host sshd[71]: Failed password for root from 203.0.113.66 port 22000 ssh2",
            "ssh 203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 host sshd-session[71]: Failed password for invalid user admin from 2001:db8::66 port 22000 ssh2",
            "ssh 2001:db8::66",
        ),
        (
            "2026-11-21T10:00:00.123456+01:00 host sshd[71]: Invalid user admin from 203.0.113.66 port 22000",
            "ssh 203.0.113.66",
        ),
        ("Nov 21 10:00:00 host sshd[71]: Invalid user  from 203.0.113.66 port 22000", "ssh 203.0.113.66"),
        (
            "Nov 21 10:00:00 host sshd[71]: Failed keyboard-interactive/pam for root from 203.0.113.66 port 1 ssh2",
            "ssh 203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: Connection closed by authenticating user root 203.0.113.66 port 22 [preauth]",
            "ssh 203.0.113.66",
        ),
        ("Failed password for root from 203.0.113.66 port 22000 ssh2", "ssh 203.0.113.66"),
        (
            "Nov 21 10:00:00 host sshd[71]: Failed password for invalid user root from 192.0.2.1 port 22 ssh2 from 203.0.113.66 port 22000 ssh2",
            "ssh 203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: Invalid user sshd[1]: Invalid user x from 192.0.2.1 port 22 from 203.0.113.66 port 22000",
            "ssh 203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: Connection closed by authenticating user x 192.0.2.1 port 22 [preauth] 203.0.113.66 port 22 [preauth]",
            "ssh 203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 host sshd[71]: Invalid user Nov 21 10:00:00 h dropbear[1]: Bad password attempt for 'a' from 192.0.2.1:22",
            "",
        ),
        ("Nov 21 10:00:00 host sshd[71]: Accepted password for root from 203.0.113.66 port 22000 ssh2", ""),
        (
            "Nov 21 10:00:00 host sshd[71]: Received disconnect from 203.0.113.66 port 22:11: Failed password for root from 192.0.2.1 port 2 ssh2",
            "",
        ),
        // LuCI, before and after 21.02, and by ucode
        (
            "Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: luci: failed login on / for root from 203.0.113.66",
            "luci 203.0.113.66",
        ),
        (
            "Fri Apr 10 21:00:14 2020 user.info : luci: failed login on / for root from 203.0.113.66",
            "luci 203.0.113.66",
        ),
        (
            "Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: [info] luci: failed login on /admin/status for root from 2001:db8::66",
            "luci 2001:db8::66",
        ),
        (
            "Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: [info] luci: failed login on / for x from 192.0.2.1 from 203.0.113.66",
            "luci 203.0.113.66",
        ),
        ("Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: luci: accepted login on / for root from 203.0.113.66", ""),
        ("Fri Apr 10 21:00:14 2020 daemon.err uhttpd[2430]: luci: failed login on / for root from ?", ""),
        // Postfix
        (
            "Nov 21 10:00:00 mail postfix/smtpd[9]: warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            "smtp 203.0.113.66",
        ),
        (
            "Nov 21 10:00:00 mail postfix/submission/smtpd[9]: warning: a.example[2001:db8::66]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=x[192.0.2.1]: SASL LOGIN authentication failed",
            "smtp 2001:db8::66",
        ),
        (
            "Nov 21 10:00:00 mail postfix/smtpd[9]: warning: hostname a.example does not resolve to address 203.0.113.66",
            "",
        ),
        // Asterisk
        (
            "[Nov 21 10:00:00] NOTICE[343]: res_pjsip/pjsip_distributor.c:688 log_failed_request: Request 'REGISTER' from '<sip:3498@198.51.100.1>' failed for '203.0.113.66:58502' (callid: 1066330060-945798139-72591940) - No matching endpoint found",
            "sip 203.0.113.66",
        ),
        (
            "Sat Nov 21 10:00:00 2026 daemon.info asterisk[5]: NOTICE[11]: res_pjsip/pjsip_distributor.c:676 log_failed_request: Request 'INVITE' from '\"a\" <sip:a@b>' failed for '203.0.113.66:5060' (callid: x@203.0.113.9) - Failed to authenticate",
            "sip 203.0.113.66",
        ),
        (
            "[2026-11-21 10:00:00] NOTICE[1]: chan_sip.c:28713 handle_request_register: Registration from '\"1\" <sip:1@a>' failed for '203.0.113.66:5060' - Wrong password",
            "sip 203.0.113.66",
        ),
        (
            "[Nov 21 10:00:00] NOTICE[1]: chan_sip.c:1 handle_request_register: Registration from 'x' failed for '192.0.2.1:5060' - Wrong password <sip:1@a>' failed for '203.0.113.66:5060' - Wrong password",
            "sip 203.0.113.66",
        ),
        (
            "[Nov 21 10:00:00] NOTICE[343]: res_pjsip/pjsip_distributor.c:1 log_failed_request: Request 'REGISTER' from 'a' failed for '203.0.113.66:5' (callid: z) - w failed for '192.0.2.1:5' (callid: y) - Failed to authenticate",
            "",
        ),
        (
            "[Nov 21 10:00:00] NOTICE[343]: res_pjsip/pjsip_distributor.c:1 log_failed_request: Request 'REGISTER' from 'a' failed for '203.0.113.66:5060' (callid: z) - Wrong transport",
            "",
        ),
        // vsftpd
        (
            "Fri Nov  4 14:40:05 2022 [pid 1094] [anonymous] FAIL LOGIN: Client \"::ffff:203.0.113.66\"",
            "ftp 203.0.113.66",
        ),
        (
            "Fri Nov  4 14:40:05 2022 [pid 1094] [x] FAIL LOGIN: Client \"192.0.2.1\"] FAIL LOGIN: Client \"203.0.113.66\"",
            "",
        ),
        (
            "Fri Nov  4 14:40:05 2022 [pid 1094] [bob] FTP command: Client \"203.0.113.66\", \"USER [x] FAIL LOGIN: Client \"192.0.2.1\"",
            "",
        ),
        ("Nov 21 10:00:00 host vsftpd[12]: [bob] FAIL LOGIN: Client \"203.0.113.66\"", "ftp 203.0.113.66"),
        ("Fri Nov  4 14:40:05 2022 [pid 1094] CONNECT: Client \"203.0.113.66\"", ""),
        ("Fri Nov  4 14:40:05 2022 [pid 1094] [bob] OK LOGIN: Client \"203.0.113.66\"", ""),
    ];

    #[test]
    fn real_lines_and_hostile_ones() {
        for (line, want) in LINES {
            assert_eq!(judged(line), *want, "{line}");
        }
    }
}
