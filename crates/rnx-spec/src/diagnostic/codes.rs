//! The codes of findings. A code is never given a new meaning.

use super::Code;

// The manifest's text.
pub const YAML_SYNTAX: Code = Code(101);
pub const MANIFEST_EMPTY: Code = Code(102);
pub const DUPLICATE_KEY: Code = Code(103);
pub const SEVERAL_DOCUMENTS: Code = Code(104);
pub const YAML_BUDGET: Code = Code(105);
pub const WRONG_TYPE: Code = Code(106);
pub const MISSING_KEY: Code = Code(107);
pub const MISSPELT_KEY: Code = Code(108);
pub const UNKNOWN_KEY: Code = Code(109);
pub const UNQUOTED_TEXT: Code = Code(110);

// What the manifest says.
pub const NAME_INVALID: Code = Code(120);
pub const NAME_ENDS_IN_VERSION: Code = Code(121);
pub const VERSION_INVALID: Code = Code(122);
pub const VERSION_LEADING_ZERO: Code = Code(123);
pub const VERSION_SUFFIX: Code = Code(124);
pub const DESCRIPTION_EMPTY: Code = Code(125);
pub const DESCRIPTION_SEVERAL_LINES: Code = Code(126);
pub const DESCRIPTION_TOO_LONG: Code = Code(127);
pub const PLATFORMS_EMPTY: Code = Code(128);
pub const PLATFORM_UNKNOWN: Code = Code(129);
pub const PLATFORM_TWICE: Code = Code(130);
pub const REUSE_INVALID: Code = Code(131);
pub const BASE_INVALID: Code = Code(132);
pub const LICENSE_INVALID: Code = Code(133);
pub const HOMEPAGE_INVALID: Code = Code(134);
pub const SOURCE_URL_INVALID: Code = Code(140);
pub const SOURCE_WITHOUT_DIGEST: Code = Code(141);
pub const SOURCE_DIGEST_INVALID: Code = Code(142);
pub const SOURCE_FILE_INVALID: Code = Code(143);
pub const ENVIRONMENT_INVALID: Code = Code(150);
pub const TEST_WITHOUT_COMMAND: Code = Code(160);
pub const TEST_NAME_INVALID: Code = Code(161);
pub const TEST_STDOUT_INVALID: Code = Code(162);
pub const TEST_OPTION_INVALID: Code = Code(163);
pub const LIMIT_INVALID: Code = Code(170);
pub const NETWORK_INVALID: Code = Code(171);
pub const PARITY_WITHOUT_REASON: Code = Code(180);

// The folder.
pub const NAME_IS_NOT_FOLDER: Code = Code(201);
pub const MANIFEST_MISSING: Code = Code(202);
pub const MANIFEST_UNREADABLE: Code = Code(203);
pub const MANIFEST_NOT_UTF8: Code = Code(204);
pub const MANIFEST_TOO_LARGE: Code = Code(205);
pub const MANIFEST_OUTSIDE: Code = Code(206);
pub const NAME_TAKEN: Code = Code(207);
pub const BASE_UNKNOWN: Code = Code(208);
pub const VERSIONS_DIFFER: Code = Code(209);
pub const LOCK_UNREADABLE: Code = Code(210);
pub const NO_SCRIPTS: Code = Code(220);
pub const PLATFORM_SCRIPT_MISSING: Code = Code(221);
pub const SCRIPT_NOT_EXECUTABLE: Code = Code(222);
pub const SCRIPT_WITHOUT_SHEBANG: Code = Code(223);
pub const SCRIPT_NOT_SHELL: Code = Code(224);
pub const SCRIPT_SYNTAX: Code = Code(225);
pub const SCRIPT_UNREADABLE: Code = Code(226);
pub const SCRIPT_PLATFORM_UNKNOWN: Code = Code(227);

// `runtimes/bases.yaml`.
pub const BASES_UNREADABLE: Code = Code(301);
pub const BASES_UNKNOWN_DEFAULT: Code = Code(302);
pub const BASES_SOURCE: Code = Code(303);

// A built runtime: `runtime.yml`.
pub const RUNTIME_YML_MISSING: Code = Code(320);
pub const RUNTIME_YML_INVALID: Code = Code(321);
pub const RUNTIME_YML_OTHER: Code = Code(322);
pub const RUNTIME_YML_ARCHITECTURE: Code = Code(323);
pub const MOUNT_SOURCE_MISSING: Code = Code(324);
pub const MOUNT_SOURCE_OUTSIDE: Code = Code(325);
pub const MOUNT_SOURCE_EMPTY: Code = Code(326);
pub const MOUNT_TARGET_INVALID: Code = Code(327);
pub const MOUNT_WRITABLE: Code = Code(328);
pub const PATH_FOLDER_MISSING: Code = Code(329);

// A built runtime: its files.
pub const SYMLINK_DANGLING: Code = Code(340);
pub const SYMLINK_OUTSIDE: Code = Code(341);
pub const SYMLINK_LOOP: Code = Code(342);
pub const SPECIAL_FILE: Code = Code(343);
pub const SETUID: Code = Code(344);
pub const WORLD_WRITABLE: Code = Code(345);
pub const BUILD_HOST_PATH: Code = Code(346);
pub const FILE_UNREADABLE: Code = Code(347);
pub const FILE_NAME_NOT_UTF8: Code = Code(348);

// A built runtime: what its programs need.
pub const ELF_MALFORMED: Code = Code(360);
pub const ELF_FOREIGN: Code = Code(361);
pub const ELF_INTERPRETER_MISSING: Code = Code(362);
pub const LIBRARY_MISSING: Code = Code(363);
pub const LIBRARY_ELSEWHERE: Code = Code(364);
pub const SYMBOL_VERSION_MISSING: Code = Code(365);
pub const LIBC_MISSING: Code = Code(366);
pub const SCRIPT_INTERPRETER_MISSING: Code = Code(367);
pub const DRIVER_OF_HOST: Code = Code(368);
pub const DRIVER_INSIDE: Code = Code(369);

// A release.
pub const TREE_NOT_CLEAN: Code = Code(401);
pub const NOT_ON_DEFAULT_BRANCH: Code = Code(402);
pub const NOT_UP_TO_DATE: Code = Code(403);
pub const DEFINITION_HAS_FINDINGS: Code = Code(404);
pub const VERSION_NOT_HIGHER: Code = Code(405);
pub const TAG_TAKEN: Code = Code(406);
pub const LOCK_NOT_FRESH: Code = Code(407);

// A registry.
pub const REGISTRY_INVALID: Code = Code(501);
pub const REGISTRY_FORM: Code = Code(502);
pub const REGISTRY_ENTRY: Code = Code(503);
pub const REGISTRY_FIELD_CASE: Code = Code(504);
pub const REGISTRY_DOWNLOAD: Code = Code(505);
pub const REGISTRY_PARTS: Code = Code(506);
pub const REGISTRY_BOTH: Code = Code(507);
pub const REGISTRY_REPLACEMENT: Code = Code(508);
pub const PUBLISHED_CHANGED: Code = Code(510);
pub const PUBLISHED_GONE: Code = Code(511);
