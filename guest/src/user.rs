//! Users of the machine's image, read from its own files: a static binary has no name service.

use std::fs;
use std::path::Path;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user_id: u32,
    pub(crate) group_id: u32,
    pub(crate) supplementary: Vec<u32>,
    /// Name, home directory and shell, as far as the image knows the user.
    pub(crate) name: Option<String>,
    pub(crate) home: Option<String>,
    pub(crate) shell: Option<String>,
}

/// Finds who `text` means: `name`, `uid`, `name:group` or `uid:gid`, as in an image's `User`.
///
/// # Errors
/// A sentence for people if it means nobody.
pub(crate) fn find(text: &str, etc: &Path) -> Result<Identity, String> {
    let read = |name: &str| fs::read_to_string(etc.join(name)).unwrap_or_default();
    resolve(text, &read("passwd"), &read("group"))
}

/// OCI image-spec 1.1, `config.User`: a name is looked up first, then taken as a number; without a group the user's own
/// primary one and its memberships count.
fn resolve(text: &str, passwd: &str, group: &str) -> Result<Identity, String> {
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let entry = passwd
        .lines()
        .map(fields)
        .find(|fields| fields.first() == Some(&user))
        .or_else(|| {
            passwd
                .lines()
                .map(fields)
                .find(|fields| fields.get(2) == Some(&user))
        });
    let number = |at: usize| {
        entry
            .as_ref()
            .and_then(|fields| fields.get(at)?.parse::<u32>().ok())
    };
    let user_id = number(2)
        .or_else(|| user.parse().ok())
        .ok_or_else(|| format!("the image has no user {user:?}"))?;
    let group_id = match wanted_group {
        Some(name) => group
            .lines()
            .map(fields)
            .find(|fields| fields.first() == Some(&name))
            .and_then(|fields| fields.get(2)?.parse().ok())
            .or_else(|| name.parse().ok())
            .ok_or_else(|| format!("the image has no group {name:?}"))?,
        None => number(3).unwrap_or(0),
    };
    let name = entry.as_ref().and_then(|fields| fields.first().copied());
    let supplementary = match (wanted_group, name) {
        (None, Some(name)) => memberships(name, group),
        _ => Vec::new(),
    };
    let field = |at: usize| {
        entry
            .as_ref()
            .and_then(|fields| fields.get(at))
            .filter(|field| !field.is_empty())
            .map(|field| (*field).to_owned())
    };
    Ok(Identity {
        user_id,
        group_id,
        supplementary,
        name: field(0),
        home: field(5),
        shell: field(6),
    })
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    group
        .lines()
        .map(fields)
        .filter(|fields| {
            fields
                .get(3)
                .is_some_and(|members| members.split(',').any(|member| member == user))
        })
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .collect()
}

fn fields(line: &str) -> Vec<&str> {
    line.split(':').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1001::/home/node:/bin/bash\n7:x:70:70::/seven:\n";
    const GROUP: &str = "root:x:0:\nnode:x:1001:\ndocker:x:999:node,other\naudio:x:29:other\n";

    type Found<'a> = (u32, u32, &'a [u32], Option<&'a str>);

    fn check(text: &str, expected: Result<Found<'_>, &str>) {
        let found = resolve(text, PASSWD, GROUP);
        let found = found.as_ref().map(|identity| {
            (
                identity.user_id,
                identity.group_id,
                identity.supplementary.as_slice(),
                identity.home.as_deref(),
            )
        });
        assert_eq!(found.map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn a_name_brings_its_groups_and_home() {
        check("node", Ok((1000, 1001, &[999], Some("/home/node"))));
        check("1000", Ok((1000, 1001, &[999], Some("/home/node"))));
    }

    #[test]
    fn a_group_of_its_own_takes_the_place_of_all_others() {
        check("node:docker", Ok((1000, 999, &[], Some("/home/node"))));
        check("node:5", Ok((1000, 5, &[], Some("/home/node"))));
    }

    #[test]
    fn a_number_need_not_be_known_to_the_image() {
        check("4321", Ok((4321, 0, &[], None)));
        check("4321:4322", Ok((4321, 4322, &[], None)));
    }

    #[test]
    fn a_name_that_looks_like_a_number_is_a_name_first() {
        check("7", Ok((70, 70, &[], Some("/seven"))));
    }

    #[test]
    fn a_login_shell_is_the_one_the_image_gives_the_user() {
        let shell = |text| {
            resolve(text, PASSWD, GROUP)
                .ok()
                .and_then(|user| user.shell)
        };
        assert_eq!(shell("node"), Some("/bin/bash".to_owned()));
        assert_eq!(shell("7"), None);
        assert_eq!(shell("4321"), None);
    }

    #[test]
    fn an_unknown_name_is_refused_in_words() {
        check("nobody", Err("the image has no user \"nobody\""));
        check("node:nobody", Err("the image has no group \"nobody\""));
        check("-1", Err("the image has no user \"-1\""));
    }
}
