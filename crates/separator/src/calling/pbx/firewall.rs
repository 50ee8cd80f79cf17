//! What the firewall must let in, and what is easily forgotten.

use super::{File, NETWORKS_COMMAND, NETWORKS_DATE, Plan};

pub(super) fn file(plan: &Plan<'_>) -> File {
    let Plan {
        number, address, ..
    } = plan;
    let (host, port) = (&address.host, address.port);
    let of = |six: bool| {
        let some: Vec<&str> = plan
            .networks
            .iter()
            .copied()
            .filter(|network| network.contains(':') == six)
            .collect();
        some.join(", ")
    };
    let (four, six) = (of(false), of(true));
    let text = format!(
        "# What the firewall in front of the telephone server lets in for WhatsApp calls of +{number}.\n\
         # Meta's networks as of {NETWORKS_DATE}. The present ones: {NETWORKS_COMMAND}\n\
         # nftables; adapt the names of table and chain:\n\
         nft add rule inet filter input ip saddr {{ {four} }} tcp dport {port} accept\n\
         nft add rule inet filter input ip6 saddr {{ {six} }} tcp dport {port} accept\n\
         # Sound; the ports of rtp.conf:\n\
         nft add rule inet filter input ip saddr {{ {four} }} udp dport 10000-20000 accept\n\
         nft add rule inet filter input ip6 saddr {{ {six} }} udp dport 10000-20000 accept\n\
         \n\
         # Before the first call:\n\
         # 1. The certificate is for {host}, signed by a public authority, and the server sends the whole chain.\n\
         # 2. Renewing the certificate copies it to the telephone server and reloads that.\n\
         # 3. separator sip-check {address} is green.\n\
         # 4. SIP and calling are enabled for the number at Meta, and the password above is the present one.\n"
    );
    File {
        program: "firewall",
        name: "firewall.txt".to_owned(),
        text,
    }
}
