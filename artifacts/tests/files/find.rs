//! Files found by path and by content.

use std::time::{Duration, Instant};

use helmr_artifacts::files::{Glob, Meant, Path, Search, Tree, glob, search};

use crate::world::{World, path};

fn world() -> World {
    let world = World::new();
    world.write("src/main.rs", "fn main() {\n    needle();\n}\n");
    world.write(
        "src/deep/lib.rs",
        "needle\nNEEDLE\nnothing\nneedle needle\n",
    );
    world.write("src/data.bin", b"needle\0needle");
    world.write("notes.md", "a needle in a haystack");
    world.write(".hidden/x.rs", "needle\n");
    world.write("src-2/y.rs", "é needle\n");
    world
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn globbed(tree: &impl Tree, dir: &str, pattern: &str, limit: usize) -> Vec<String> {
    let pattern = Glob::new(pattern.as_bytes()).unwrap();
    let mut found = Vec::new();
    let mut after: Option<Path> = None;
    loop {
        let page = glob(tree, &path(dir), &pattern, after.as_ref(), (limit, later())).unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|info| info.path.to_string()));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn searched(tree: &impl Tree, at: &str, wanted: &Search, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = search(tree, &path(at), wanted, after.as_ref(), (limit, later())).unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|item| {
            let text = String::from_utf8_lossy(&item.text).into_owned();
            format!("{}:{}:{}:{text}", item.path, item.line, item.column)
        }));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

#[test]
fn a_pattern_finds_paths_page_by_page() {
    let world = world();
    let check = |tree: &dyn Fn(&str, &str, usize) -> Vec<String>| {
        for limit in [1, 2, 50] {
            assert_eq!(
                tree("", "**/*.rs", limit),
                [
                    ".hidden/x.rs",
                    "src/deep/lib.rs",
                    "src/main.rs",
                    "src-2/y.rs"
                ]
            );
            assert_eq!(tree("src", "*.rs", limit), ["src/main.rs"]);
            assert_eq!(tree("", "src/**", limit).len(), 4);
            assert_eq!(tree("", "no/where/*", limit), [""; 0]);
            assert_eq!(tree("", "notes.md/*", limit), [""; 0]);
        }
    };
    let (live, stored) = (world.live(), world.stored());
    check(&|dir, pattern, limit| globbed(&live, dir, pattern, limit));
    check(&|dir, pattern, limit| globbed(&stored, dir, pattern, limit));
}

#[test]
fn a_search_finds_lines_page_by_page() {
    let world = world();
    let plain = Search::new("needle", Meant::default(), None).unwrap();
    let (live, stored) = (world.live(), world.stored());
    let expected = [
        ".hidden/x.rs:1:1:needle",
        "notes.md:1:3:a needle in a haystack",
        "src/deep/lib.rs:1:1:needle",
        "src/deep/lib.rs:4:1:needle needle",
        "src/main.rs:2:5:    needle();",
        "src-2/y.rs:1:4:é needle",
    ];
    for limit in [1, 2, 50] {
        assert_eq!(searched(&live, "", &plain, limit), expected, "by {limit}");
        assert_eq!(searched(&stored, "", &plain, limit), expected, "by {limit}");
        assert_eq!(searched(&live, "src/deep/lib.rs", &plain, limit).len(), 2);
    }
    let meant = Meant {
        regex: true,
        ignore_case: true,
    };
    let only = Glob::new(b"**/*.rs").unwrap();
    let careful = Search::new("^needle$", meant, Some(only)).unwrap();
    let found = searched(&live, "", &careful, 50);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(Search::new("(", meant, None).is_err());
    assert!(Search::new("", meant, None).is_err());
    assert!(Search::new(&"a{1000}".repeat(100), meant, None).is_err());
}

#[test]
fn a_long_line_is_searched_and_told_in_part() {
    let world = World::new();
    let mut line = "x".repeat(300_000);
    line.replace_range(200_000..200_006, "needle");
    world.write("long", &line);
    let plain = Search::new("needle", Meant::default(), None).unwrap();
    let page = search(&world.live(), &path(""), &plain, None, (10, later())).unwrap();
    assert_eq!(page.items.len(), 1);
    assert!(page.items[0].text.len() <= 512);
    assert!(String::from_utf8_lossy(&page.items[0].text).contains("needle"));
}

#[test]
fn what_takes_too_long_says_where_to_go_on() {
    let world = world();
    let plain = Search::new("needle", Meant::default(), None).unwrap();
    let at_once = Instant::now();
    let page = search(&world.live(), &path(""), &plain, None, (10, at_once)).unwrap();
    assert!(page.items.is_empty() && page.next.is_some());
    let next = page.next.unwrap();
    let rest = search(&world.live(), &path(""), &plain, Some(&next), (50, later())).unwrap();
    assert_eq!(rest.items.len(), 6);
    let all = Glob::new(b"**").unwrap();
    let page = glob(&world.live(), &path(""), &all, None, (10, at_once)).unwrap();
    assert!(page.items.len() <= 1 && page.next.is_some());
}
