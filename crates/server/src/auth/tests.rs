use super::*;

fn tokens(items: &[&str], mesh: Option<&str>, per_minute: u64) -> Tokens {
    let told = items.iter().map(|item| parse(item).unwrap());
    Tokens::new(told, mesh.map(|token| token.to_owned().into()).as_ref(), per_minute)
}

fn admitted(tokens: &Tokens, authorization: Option<&str>) -> Result<(), Refusal> {
    tokens.admit(authorization, None).map(drop)
}

#[test]
fn only_known_bearer_tokens_are_let_in() {
    let tokens = tokens(&["alpha", "be=ta=="], None, 100);
    assert_eq!(admitted(&tokens, Some("Bearer be=ta==")), Ok(()));
    assert_eq!(admitted(&tokens, Some("bearer alpha")), Ok(()));
    assert_eq!(admitted(&tokens, Some("Bearer alph")), Err(Refusal::Unknown));
    assert_eq!(admitted(&tokens, Some("Basic alpha")), Err(Refusal::Missing));
    assert_eq!(admitted(&tokens, None), Err(Refusal::Missing));
    assert_eq!(admitted(&Tokens::default(), None), Ok(()));
}

#[test]
fn a_token_may_do_what_it_was_given_and_one_without_scopes_everything() {
    let tokens = tokens(&["reader=calls:read", "maker==speech+jobs", "all"], Some("mesh"), 100);
    let may = |token: &str| -> Vec<&str> {
        let header = format!("Bearer {token}");
        let able = Scope::ALL.into_iter().filter(|scope| tokens.admit(Some(&header), Some(*scope)).is_ok());
        able.map(Scope::name).collect()
    };
    assert_eq!(may("reader"), ["calls:read"]);
    assert_eq!(may("maker="), ["speech", "jobs"]);
    assert_eq!(may("all"), Scope::ALL.map(Scope::name));
    assert_eq!(may("mesh"), Scope::ALL.map(Scope::name));
    let refused = tokens.admit(Some("Bearer reader"), Some(Scope::CallsControl)).unwrap_err();
    assert_eq!(refused, Refusal::NotAllowed(Scope::CallsControl));
    assert!(tokens.admit_to_anything(Some("Bearer reader")).is_err());
    assert!(tokens.admit_to_anything(Some("Bearer all")).is_ok());
}

#[test]
fn scopes_that_are_none_are_told_without_the_token() {
    let mut env =
        Env::new(|name| (name == "API_TOKENS").then(|| "good=speech,hush-hush=calls:write,=jobs".to_owned()));
    Tokens::from_env(&mut env, None);
    let text = env.finish(()).unwrap_err().to_string();
    assert!(text.contains("item 2") && text.contains("calls:control") && text.contains("item 3"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn each_token_has_a_pace_of_its_own_and_other_services_have_none() {
    let tokens = tokens(&["one", "two"], Some("mesh"), 2);
    for _ in 0..2 {
        assert_eq!(admitted(&tokens, Some("Bearer one")), Ok(()));
    }
    let Err(Refusal::TooMany { wait }) = admitted(&tokens, Some("Bearer one")) else {
        panic!("a third request in a minute was let in")
    };
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(admitted(&tokens, Some("Bearer two")), Ok(()));
    for _ in 0..10 {
        assert_eq!(admitted(&tokens, Some("Bearer mesh")), Ok(()));
    }
    assert!(tokens.caller(Some("Bearer one")).unwrap().is_limited());
    assert!(!tokens.caller(Some("Bearer mesh")).unwrap().is_limited());
}

#[test]
fn whom_a_service_asks_for_is_believed_and_nobody_else_who_names_another() {
    let tokens = tokens(&["one", "two"], Some("mesh"), 100);
    let caller = |token: &str| tokens.caller(Some(&format!("Bearer {token}"))).unwrap();
    let mut told = HeaderMap::new();
    caller("one").tell(&mut told);
    let name = told[ON_BEHALF_OF].to_str().unwrap();
    assert_eq!(name, caller("one").name());
    let through = caller("mesh").or_whom_it_asks_for(Some(name));
    assert!(through.is_limited() && through.name() == name);
    assert_eq!(caller("two").or_whom_it_asks_for(Some(name)).name(), caller("two").name());
    assert!(!Caller::anybody().or_whom_it_asks_for(Some(name)).is_limited());
    for unlimited in [caller("mesh"), Caller::anybody()] {
        let mut told = HeaderMap::new();
        unlimited.tell(&mut told);
        assert!(told.is_empty());
    }
}
