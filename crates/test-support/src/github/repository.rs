//! The git side of a repository: refs, tag objects, contents and pull requests, kept in a bare repository on disk.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::wire::{Answer, Head};

/// A bare git repository, and the pull requests that were opened for it.
#[derive(Debug)]
pub(crate) struct Repository {
    git_dir: PathBuf,
    /// `https://api…/repos/owner/name`
    url: String,
    pulls: Vec<Value>,
}

impl Repository {
    pub(crate) fn new(git_dir: &Path, url: String) -> Self {
        Self { git_dir: git_dir.to_owned(), url, pulls: Vec::new() }
    }

    /// Returns the full name of what a name stands for, peeled to a commit.
    pub(crate) fn commit_of(&self, name: &str) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])
    }

    /// Makes a lightweight tag, as GitHub does when a release without a tag is published.
    pub(crate) fn create_tag(&self, tag: &str, target: &str) -> Option<()> {
        let commit = self.commit_of(target)?;
        self.git(&["update-ref", &format!("refs/tags/{tag}"), &commit, ""]).map(drop)
    }

    /// Returns the bytes of a file at a branch, tag or commit.
    pub(crate) fn file(&self, at: &str, path: &str) -> Option<Vec<u8>> {
        self.git_bytes(&["cat-file", "blob", &format!("{at}:{path}")], &[])
    }

    /// Answers what is below `/repos/owner/name/` and about git; `None` where nothing is.
    pub(crate) fn answer(&mut self, head: &Head, rest: &str, body: &Value) -> Option<Answer> {
        let method = head.method.as_str();
        match rest.split_once('/').unwrap_or((rest, "")) {
            ("git", path) => match path.split_once('/').unwrap_or((path, "")) {
                ("ref", name) if method == "GET" => self.reference(name),
                ("matching-refs", prefix) if method == "GET" => self.matching(prefix),
                ("tags", sha) if method == "GET" => self.tag(sha),
                ("refs", "") if method == "POST" => Some(self.create_ref(body)),
                ("refs", name) if method == "PATCH" => self.update_ref(name, body),
                ("refs", name) if method == "DELETE" => {
                    self.git(&["update-ref", "-d", &format!("refs/{name}")])?;
                    Some(Answer::empty(204))
                }
                _ => None,
            },
            ("contents", path) if method == "GET" => {
                let at = head.query.get("ref").map_or("HEAD", String::as_str);
                Some(Answer::json(200, &self.content(at, path)?))
            }
            ("contents", path) if method == "PUT" => self.put(path, body),
            ("pulls", "") if method == "POST" => Some(self.open_pull(body)),
            ("pulls", "") if method == "GET" => {
                let wanted = head.query.get("head").and_then(|head| head.split(':').nth(1));
                let matches = |pull: &&Value| wanted.is_none_or(|w| pull["head"]["ref"] == w);
                let found: Vec<&Value> = self.pulls.iter().filter(matches).collect();
                Some(Answer::json(200, &json!(found)))
            }
            _ => None,
        }
    }

    fn reference(&self, name: &str) -> Option<Answer> {
        let sha = self.git(&["rev-parse", "--verify", "--quiet", &format!("refs/{name}")])?;
        Some(Answer::json(200, &self.reference_json(name, &sha)?))
    }

    fn matching(&self, prefix: &str) -> Option<Answer> {
        let pattern = "--format=%(refname:strip=1) %(objectname)";
        let listed = self.git(&["for-each-ref", pattern])?;
        let found = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| name.starts_with(prefix))
            .filter_map(|(name, sha)| self.reference_json(name, sha));
        Some(Answer::json(200, &Value::Array(found.collect())))
    }

    fn reference_json(&self, name: &str, sha: &str) -> Option<Value> {
        let kind = self.git(&["cat-file", "-t", sha])?;
        Some(json!({
            "ref": format!("refs/{name}"),
            "node_id": "node",
            "url": format!("{}/git/refs/{name}", self.url),
            "object": {"type": kind, "sha": sha, "url": format!("{}/git/{kind}s/{sha}", self.url)},
        }))
    }

    fn tag(&self, sha: &str) -> Option<Answer> {
        let text = self.git(&["cat-file", "tag", sha])?;
        let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let field = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("")
        };
        let tag = field("tag");
        Some(Answer::json(
            200,
            &json!({
                "node_id": "node", "tag": tag, "sha": sha, "message": message,
                "url": format!("{}/git/tags/{sha}", self.url),
                "tagger": {"date": super::NOW, "name": "someone", "email": "someone@example.org"},
                "object": {
                    "type": field("type"), "sha": field("object"),
                    "url": format!("{}/git/commits/{}", self.url, field("object")),
                },
            }),
        ))
    }

    fn create_ref(&self, body: &Value) -> Answer {
        let (name, sha) = (text(body, "ref"), text(body, "sha"));
        if !name.starts_with("refs/") {
            return Answer::problem(422, "Reference name must start with 'refs/'");
        }
        if self.git(&["rev-parse", "--verify", "--quiet", &name]).is_some() {
            return Answer::problem(422, "Reference already exists");
        }
        if self.git(&["update-ref", &name, &sha, ""]).is_none() {
            return Answer::problem(422, "Object does not exist");
        }
        match self.reference_json(&name["refs/".len()..], &sha) {
            Some(made) => Answer::json(201, &made),
            None => Answer::problem(422, "Object does not exist"),
        }
    }

    fn update_ref(&self, name: &str, body: &Value) -> Option<Answer> {
        let (full, sha) = (format!("refs/{name}"), text(body, "sha"));
        let old = self.git(&["rev-parse", "--verify", "--quiet", &full])?;
        let forward = self.git(&["merge-base", "--is-ancestor", &old, &sha]).is_some();
        if !forward && body["force"] != true {
            return Some(Answer::problem(422, "Update is not a fast forward"));
        }
        self.git(&["update-ref", &full, &sha, &old])?;
        Some(Answer::json(200, &self.reference_json(name, &sha)?))
    }

    fn content(&self, at: &str, path: &str) -> Option<Value> {
        let bytes = self.file(at, path)?;
        let sha = self.git(&["rev-parse", &format!("{at}:{path}")])?;
        let url = format!("{}/contents/{path}?ref={at}", self.url);
        let blob = format!("{}/git/blobs/{sha}", self.url);
        Some(json!({
            "type": "file", "encoding": "base64", "size": bytes.len(),
            "name": path.rsplit('/').next(), "path": path, "sha": sha,
            "content": BASE64.encode(&bytes), "url": url, "git_url": blob,
            "html_url": null, "download_url": null,
            "_links": {"self": url, "git": blob, "html": null},
        }))
    }

    /// Commits one file on a branch, if it is as the caller last saw it.
    fn put(&self, path: &str, body: &Value) -> Option<Answer> {
        let branch = body["branch"].as_str().unwrap_or("main");
        let full = format!("refs/heads/{branch}");
        let parent = self.commit_of(&full)?;
        let old = self.git(&["rev-parse", "--verify", "--quiet", &format!("{parent}:{path}")]);
        match (&old, body["sha"].as_str()) {
            (Some(_), None) => {
                return Some(Answer::problem(422, "Invalid request.\n\n\"sha\" wasn't supplied."));
            }
            (Some(there), Some(seen)) if there != seen => {
                return Some(Answer::problem(409, &format!("{path} does not match {seen}")));
            }
            _ => {}
        }
        let Ok(bytes) = BASE64.decode(text(body, "content")) else {
            return Some(Answer::problem(422, "content is not valid Base64"));
        };
        let blob = self.git_with(&["hash-object", "-w", "--stdin"], &bytes)?;
        let index = tempfile::Builder::new().tempdir_in(&self.git_dir).ok()?;
        let index = [("GIT_INDEX_FILE", index.path().join("index"))];
        self.run(&["read-tree", &parent], &[], &index)?;
        let entry = format!("100644,{blob},{path}");
        self.run(&["update-index", "--add", "--cacheinfo", &entry], &[], &index)?;
        let tree = String::from_utf8(self.run(&["write-tree"], &[], &index)?).ok()?;
        let message = text(body, "message");
        let commit =
            self.git(&["commit-tree", tree.trim(), "-p", &parent, "-m", message.as_str()])?;
        if self.git(&["update-ref", &full, &commit, &parent]).is_none() {
            return Some(Answer::problem(409, "is at another commit"));
        }
        let who = json!({"date": super::NOW, "name": "someone", "email": "someone@example.org"});
        let commit = json!({
            "sha": commit, "node_id": "node", "message": message, "author": who, "committer": who,
            "url": format!("{}/git/commits/{commit}", self.url), "html_url": "",
            "tree": {"sha": tree.trim(), "url": ""}, "parents": [],
        });
        let status = if old.is_some() { 200 } else { 201 };
        let content = self.content(branch, path)?;
        Some(Answer::json(status, &json!({"content": content, "commit": commit})))
    }

    fn open_pull(&mut self, body: &Value) -> Answer {
        let (head, base) = (text(body, "head"), text(body, "base"));
        if self.pulls.iter().any(|pull| pull["head"]["ref"] == *head) {
            return Answer::invalid("PullRequest", "custom", "head");
        }
        let number = self.pulls.len() + 1;
        let pull = json!({
            "number": number, "state": "open", "title": text(body, "title"), "body": body["body"],
            "html_url": format!("{}/pull/{number}", self.url),
            "head": {"ref": head}, "base": {"ref": base},
        });
        self.pulls.push(pull.clone());
        Answer::json(201, &pull)
    }

    fn git(&self, args: &[&str]) -> Option<String> {
        self.git_with(args, &[])
    }

    fn git_with(&self, args: &[&str], stdin: &[u8]) -> Option<String> {
        let bytes = self.git_bytes(args, stdin)?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn git_bytes(&self, args: &[&str], stdin: &[u8]) -> Option<Vec<u8>> {
        self.run(args, stdin, &[])
    }

    /// Runs git; `None` where it fails, which is how it says that something is not there.
    fn run(&self, args: &[&str], stdin: &[u8], env: &[(&str, PathBuf)]) -> Option<Vec<u8>> {
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(&self.git_dir)
            .args(["-c", "user.name=someone", "-c", "user.email=someone@example.org"])
            .args(args)
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A git that wants no input has closed its end.
        child.stdin.take().unwrap().write_all(stdin).ok();
        let output = child.wait_with_output().unwrap();
        output.status.success().then_some(output.stdout)
    }
}

/// Makes a bare repository whose `main` has one commit with the given files.
pub(crate) fn init(git_dir: &Path, files: &[(&str, &[u8])]) -> Repository {
    let made = Command::new("git")
        .args(["init", "--quiet", "--bare", "--initial-branch=main"])
        .arg(git_dir)
        .status();
    assert!(made.unwrap().success());
    let repository = Repository::new(git_dir, String::new());
    let entry = |(name, bytes): &(&str, &[u8])| {
        let blob = repository.git_with(&["hash-object", "-w", "--stdin"], bytes).unwrap();
        format!("100644 blob {blob}\t{name}\n")
    };
    let tree: String = files.iter().map(entry).collect();
    let tree = repository.git_with(&["mktree"], tree.as_bytes()).unwrap();
    let commit = repository.git(&["commit-tree", &tree, "-m", "the beginning"]).unwrap();
    repository.git(&["update-ref", "refs/heads/main", &commit]).unwrap();
    repository
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}
