//! Writes the manual pages and the shells' completions below a folder, as a package has them below
//! `/usr/share`: `cargo run -p truechimer --example manual -- FOLDER`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use truechimer::cli::{chimectl, chimed};

/// What is written by hand.
const CONFIGURATION: &str = include_str!("../man/chimed.toml.5");
const SEE_ALSO: &str = ".SH SEE ALSO\n.BR chimectl (8),\n.BR chimed (8),\n.BR chimed.toml (5)\n";
/// Where each shell looks.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Writes the manual pages and the shells' completions.
#[derive(Parser)]
struct Cli {
    /// Where to
    folder: PathBuf,
}

fn main() -> io::Result<()> {
    let Cli { folder } = Cli::parse();
    let (man5, man8) = (folder.join("man/man5"), folder.join("man/man8"));
    fs::create_dir_all(&man5)?;
    fs::create_dir_all(&man8)?;
    fs::write(man5.join("chimed.toml.5"), CONFIGURATION)?;
    for command in [chimed::Cli::command(), chimectl::Cli::command()] {
        for (shell, place) in COMPLETIONS {
            let place = folder.join(place);
            fs::create_dir_all(&place)?;
            let name = command.get_name().to_owned();
            clap_complete::generate_to(shell, &mut command.clone(), name, place)?;
        }
        let mut command = command.disable_help_subcommand(true);
        command.build();
        pages(&command, &man8)?;
    }
    Ok(())
}

/// One for the command and one for each below it.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    let page = Man::new(command.clone()).section("8").manual("System Manager's Manual");
    let mut text = Vec::new();
    page.render(&mut text)?;
    text.extend_from_slice(SEE_ALSO.as_bytes());
    fs::write(folder.join(page.get_filename()), text)?;
    command.get_subcommands().try_for_each(|command| pages(command, folder))
}
