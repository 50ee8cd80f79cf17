//! Kamailio 5.6 and newer as a TLS edge in front of a telephone server. It carries the signalling only: the keys of the
//! sound stand in the call's description and the sound goes straight to the telephone server, as does the password's
//! digest.

use super::{File, NETWORKS_COMMAND, NETWORKS_DATE, Plan};

pub(super) fn files(plan: &Plan<'_>) -> Vec<File> {
    let file = |name: &str, text| File {
        program: "kamailio",
        name: format!("kamailio/{name}"),
        text,
    };
    vec![file("kamailio.cfg", edge(plan)), file("tls.cfg", tls(plan))]
}

fn edge(plan: &Plan<'_>) -> String {
    let Plan {
        number,
        address,
        choices,
        ..
    } = plan;
    let (host, port) = (address.uri_host(), address.port);
    let networks = plan.networks.join(",");
    let bracketed = |ip: std::net::IpAddr| {
        if ip.is_ipv6() {
            format!("[{ip}]")
        } else {
            ip.to_string()
        }
    };
    let (inner, inner_port, outer) = (
        bracketed(choices.inner),
        choices.inner_port,
        bracketed(choices.edge),
    );
    format!(
        r#"#!KAMAILIO
# TLS edge for WhatsApp calls of +{number}: Meta -> TLS -> here -> UDP -> {inner}:{inner_port}
# Put this and tls.cfg into /etc/kamailio. Check with: kamailio -c
log_stderror=no
children=4
tcp_children=4
enable_tls=yes
# A call's connection must outlive the call.
tcp_connection_lifetime=3605
tcp_accept_no_cl=no
alias="{host}"
# Kamailio looks {host} up when it starts, and does not start where it has no address.
listen=tls:0.0.0.0:{port} advertise {host}:{port}
listen=udp:{outer}:5065

loadmodule "tls.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "ipops.so"

modparam("tls", "config", "/etc/kamailio/tls.cfg")
# Two Record-Routes, one for each side, in front of Meta's two, which stay as they are.
modparam("rr", "enable_double_rr", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && (uri == myself || $rU == $null)) {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ if (!t_relay()) sl_reply_error(); exit; }}
        if (is_method("ACK") && t_check_trans()) {{ t_relay(); exit; }}
        sl_send_reply("404", "Not here"); exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    # The ACK to a refusal ends here.
    if (is_method("ACK")) {{ t_check_trans(); exit; }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    # Meta's networks as of {NETWORKS_DATE}. The present ones: {NETWORKS_COMMAND}
    if (!is_in_subnet("$si", "{networks}")) {{ sl_send_reply("403", "Forbidden"); exit; }}
    t_check_trans();
    record_route();
    $du = "sip:{inner}:{inner_port};transport=udp";
    if (!t_relay()) sl_reply_error();
}}
"#
    )
}

fn tls(plan: &Plan<'_>) -> String {
    format!(
        "# The whole chain, and a key that the user kamailio can read. No client certificate is required: Meta's calls\n\
         # would be refused.\n\
         [server:default]\n\
         method = TLSv1.2+\n\
         verify_certificate = no\n\
         require_certificate = no\n\
         certificate = {}\n\
         private_key = {}\n\
         \n\
         [client:default]\n\
         method = TLSv1.2+\n\
         verify_certificate = yes\n\
         require_certificate = yes\n\
         ca_list = /etc/ssl/certs/ca-certificates.crt\n",
        plan.choices.certificate, plan.choices.key
    )
}
