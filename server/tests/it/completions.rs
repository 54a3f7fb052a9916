use std::process::Command;

use crate::process::{Folder, run, say};

#[test]
fn every_shell_gets_a_script() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = say(&folder, ["completions", shell]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{shell}");
        // Commands of the program itself, of a domain, and flags are all there.
        for word in ["migrate", "admin", "password-stdin", "listen"] {
            assert!(said.out.contains(word), "{shell} does not complete {word}");
        }
    }
    assert_eq!(say(&folder, ["completions", "cmd"]).code, Some(2));
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn the_script_for_bash_is_one() {
    let folder = Folder::new();
    folder.write("mainstay.bash", &say(&folder, ["completions", "bash"]).out);
    let path = folder.path().join("mainstay.bash");
    let said = run(Command::new("bash").arg("-n").arg(&path), "");
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let complete =
        ". \"$0\"; COMP_WORDS=(mainstay adm); COMP_CWORD=1; _mainstay mainstay adm mainstay; echo \"${COMPREPLY[@]}\"";
    let said = run(Command::new("bash").args(["-c", complete]).arg(&path), "");
    assert_eq!(said.out, "admin\n", "{}", said.err);
}
