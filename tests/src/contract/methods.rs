//! The table of RPCs (`voice_server::methods`) against the contracts.

use std::collections::BTreeMap;

use voice_server::methods::{METHODS, Repeat};

use super::api::files;

/// Services that users serve, and the mesh calls.
const OF_USERS: [&str; 1] = ["voice.tool.v1.ToolService"];

/// Every RPC that the mesh serves, and whether its requests are a stream.
pub(crate) fn served() -> BTreeMap<String, bool> {
    let mut all = BTreeMap::new();
    for file in files() {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            if OF_USERS.contains(&service_name.as_str()) {
                continue;
            }
            for method in &service.method {
                all.insert(format!("/{service_name}/{}", method.name()), method.client_streaming());
            }
        }
    }
    all
}

#[test]
fn every_rpc_says_who_may_call_it_and_whether_it_may_be_sent_again() {
    let told = METHODS.iter().map(|method| (method.path.to_owned(), method.repeat == Repeat::Never));
    assert_eq!(told.clone().collect::<BTreeMap<_, _>>(), served());
    assert_eq!(told.count(), METHODS.len(), "an RPC is told twice");
}
