//! `make up`, started as people start it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    child::{Child, Spec},
    house::documented,
    mesh::{SERVICES, binary, eventually, installed},
    phone::{Phone, loopback_client},
    ports::free_port,
};

/// Generous: machines here are shared.
const LIMIT: Duration = Duration::from_mins(3);

/// A mesh from `make up`, in a folder of its own. Everything ends when it is dropped.
pub(super) struct Up {
    child: Child,
    ports: [u16; SERVICES.len()],
    pub(super) folder: tempfile::TempDir,
}

impl Up {
    /// Starts it with these variables, on ports that are free.
    pub(super) async fn start(env: impl IntoIterator<Item = (String, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = SERVICES.map(|_| free_port().unwrap());
        let mut env: Vec<_> = env.into_iter().collect();
        env.extend(SERVICES.iter().zip(ports).map(|(service, port)| {
            (format!("{}_LISTEN_ADDR", service.to_uppercase()), format!("127.0.0.1:{port}"))
        }));
        let (program, up) = (installed("env").unwrap(), binary("examples/up"));
        let args = ["-C", folder.path().to_str().unwrap(), up.to_str().unwrap()].map(str::to_owned);
        let child = Child::start(Spec {
            name: "up",
            program: &program,
            args: &args,
            env: &env,
            folder: folder.path(),
            announces: false,
        })
        .await
        .unwrap();
        let mut up = Self { child, ports, folder };
        let is_there = eventually(LIMIT, "the mesh of make up", async || {
            (up.child.log().contains("Ctrl-C ends it.") || !up.child.is_running()).then_some(())
        });
        is_there.await.unwrap();
        assert!(up.child.is_running(), "{}", up.child.log());
        up
    }

    /// Where a service listens.
    pub(super) fn address(&self, service: &str) -> String {
        let at = SERVICES.iter().position(|known| *known == service).unwrap();
        format!("127.0.0.1:{}", self.ports[at])
    }

    /// Its pretend telephone.
    pub(super) fn phone(&self) -> Phone {
        let printed = self.printed();
        let base =
            printed.lines().find_map(|line| line.trim().strip_prefix("curl -X POST ")?.split_once("/sim/"));
        Phone::new(base.unwrap().0.to_owned())
    }

    /// What it has printed.
    pub(super) fn printed(&self) -> String {
        self.child.log()
    }

    /// The names of the variables that a service was started with.
    fn environment(&self, service: &str) -> BTreeSet<String> {
        let parent = format!("PPid:\t{}\n", self.child.pid().unwrap());
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        let of_service = |process: &PathBuf| {
            let is_ours =
                std::fs::read_to_string(process.join("status")).is_ok_and(|text| text.contains(&parent));
            is_ours
                && std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with(Path::new(service)))
        };
        let process = processes.into_iter().find(of_service).unwrap();
        let environment = std::fs::read_to_string(process.join("environ")).unwrap();
        environment.split('\0').filter_map(|item| Some(item.split_once('=')?.0.to_owned())).collect()
    }
}

#[tokio::test]
async fn every_setting_in_the_environment_of_make_up_reaches_every_service() {
    // Blank, they count as unset, so that the services start; but they are there to be seen.
    let names = documented().into_keys().chain(["TOKEN_OF_A_TOOL_SERVER".to_owned()]);
    let names: BTreeSet<String> = names.collect();
    let up = Up::start(names.iter().map(|name| (name.clone(), " ".to_owned()))).await;
    for service in SERVICES {
        let environment = up.environment(service);
        assert_eq!(names.difference(&environment).collect::<Vec<_>>(), Vec::<&String>::new(), "{service}");
    }
}

#[tokio::test]
async fn at_ctrl_c_make_up_waits_until_what_runs_has_ended() {
    let mut up = Up::start([]).await;
    up.child.signal("INT").await.unwrap();
    assert_eq!(up.child.wait(LIMIT).await.unwrap(), Some(0), "{}", up.printed());
    for service in ["relay", "worker", "tts"] {
        let log = std::fs::read_to_string(up.folder.path().join(format!(".run/{service}.log"))).unwrap();
        assert!(log.contains("drained"), "{service}: {log}");
    }
}

#[tokio::test]
async fn on_this_machine_make_up_asks_for_no_token_and_beyond_it_for_the_one_that_it_has_made() {
    let local = Up::start([]).await;
    assert!(!local.printed().contains("authorization"), "{}", local.printed());
    let public = Up::start([("PUBLIC_BASE_URL".to_owned(), "https://voice.example.com".to_owned())]).await;
    let made = std::fs::read_to_string(public.folder.path().join(".run/api_token")).unwrap();
    assert!(public.printed().contains("Bearer $(cat .run/api_token)"), "{}", public.printed());
    for (up, token, answer) in [(&local, None, 200), (&public, None, 401), (&public, Some(made.trim()), 200)]
    {
        let url = format!("http://{}/metrics", up.address("gateway"));
        let request = loopback_client().get(url);
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        assert_eq!(request.send().await.unwrap().status(), answer, "{}", up.printed());
    }
}
