use crate::process::{Folder, say};

#[test]
fn help_fits_a_terminal_and_says_what_there_is() {
    let folder = Folder::new();
    let top = say(&folder, ["--help"]);
    insta::assert_snapshot!(top.out, @r"
    Accounts, profiles and posts: what the `mainstay` binary serves.

    Usage: mainstay [OPTIONS] [COMMAND]

    Commands:
      serve        Bring the database up to date and answer requests (the default)
      migrate      Bring the database up to date, say what was done, and end
      db           Move a product's data
      openapi      Print the OpenAPI document
      config       Look at the settings
      doctor       Say what would hurt in production, and how to mend it
      errors       Print every error code the API answers with, as Markdown
      completions  Print a script that completes commands and flags in a shell
      admin        Manage administrators
      help         Print this message or the help of the given subcommand(s)

    Options:
          --config <FILE>  Settings file [default: mainstay.toml, if it is there]
          --data <DIR>     Folder of the database and of a development secret
                           [default: data]
      -h, --help           Print help
      -V, --version        Print version

    Examples:
      mainstay                                 serve on 127.0.0.1:8080
      mainstay serve --listen 127.0.0.1:9000   … on another port
      mainstay admin create you@example.com    make the first administrator
      mainstay config default > mainstay.toml  a settings file to start from
      MAINSTAY_DATABASE__URL=postgres://… mainstay

    Settings come from the defaults, then mainstay.toml in the working directory
    (or --config), then environment variables MAINSTAY_…, then flags.

    Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
    ");
    let serve = say(&folder, ["serve", "--help"]);
    insta::assert_snapshot!(serve.out, @r"
    Bring the database up to date and answer requests (the default)

    Usage: mainstay serve [OPTIONS]

    Options:
          --listen <HOST:PORT>  Address and port to listen on; port 0 takes a free
                                one
          --config <FILE>       Settings file [default: mainstay.toml, if it is
                                there]
          --data <DIR>          Folder of the database and of a development secret
                                [default: data]
      -h, --help                Print help
    ");
    let create = say(&folder, ["admin", "create", "--help"]);
    insta::assert_snapshot!(create.out, @r"
    Make an administrator

    The password is asked for on a terminal, without showing it, and otherwise read
    as one line from standard input. An address that is registered is refused, since
    anyone may have registered it; with --promote its account gets the role and this
    password, and its sessions end. The server may be running meanwhile.

    Usage: mainstay admin create [OPTIONS] <EMAIL>

    Arguments:
      <EMAIL>
              The address the account signs in with

    Options:
          --promote
              Give the account that has this address the role, and this password

          --password-stdin
              Read the password as one line from standard input, on a terminal too

          --config <FILE>
              Settings file [default: mainstay.toml, if it is there]

          --data <DIR>
              Folder of the database and of a development secret [default: data]

      -h, --help
              Print help (see a summary with '-h')
    ");
    let config = say(&folder, ["config", "--help"]);
    insta::assert_snapshot!(config.out, @r"
    Look at the settings

    Usage: mainstay config [OPTIONS] <COMMAND>

    Commands:
      show       Print every setting in force, secrets as dots
      check      Say whether the settings are good; touches neither network nor
                 database
      default    Print a settings file with every default and what it means
      reference  Print the reference of all settings, as Markdown
      help       Print this message or the help of the given subcommand(s)

    Options:
          --config <FILE>  Settings file [default: mainstay.toml, if it is there]
          --data <DIR>     Folder of the database and of a development secret
                           [default: data]
      -h, --help           Print help
    ");
    for said in [top, serve, create, config] {
        assert_eq!(said.code, Some(0));
        assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    }
}

#[test]
fn wrong_usage_is_code_2() {
    let folder = Folder::new();
    for (args, told) in [
        (&["sevre"][..], "similar subcommand exists: 'serve'"),
        (&["serve", "--listen", ":8080"], "write an address and a port, as in 127.0.0.1:8080"),
        (&["serve", "--prot", "1"], "unexpected argument '--prot'"),
        (&["admin"], "Usage: mainstay admin"),
        (&["admin", "create"], "<EMAIL>"),
    ] {
        let said = say(&folder, args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        assert!(said.err.contains(told), "{args:?}: {}", said.err);
    }
    assert_eq!(folder.names(), [""; 0]);
}
