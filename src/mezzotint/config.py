"""Every setting: name, unit, default and one line of help. Only this file and `environment.py` read the environment.

Each is set by an environment variable `MEZZOTINT_<NAME>`; the command's flags win over it.
"""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.guard_formats import GuardFormat

STARTER = "starter"
MIN_FREE_BYTES = 64 * 1024 * 1024
"""Less room than this on the disk of the data folder, and a server would fail within minutes."""


def _strip_secret(secret: SecretStr) -> SecretStr:
    """Files of secrets end with a line break, which no header takes: the error about it would show the secret."""
    text = secret.get_secret_value().strip()
    if not all("!" <= letter <= "~" for letter in text):
        raise ValueError("it is sent in a header: ASCII letters, digits and signs without blanks")
    return SecretStr(text)


HeaderSecret = Annotated[SecretStr, AfterValidator(_strip_secret)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MEZZOTINT_", frozen=True)

    data: Path = Field(Path("data"), description="folder of the database, pictures, checkpoints and the token secret")
    database: SecretStr | None = Field(
        None, description="`postgresql://user:password@host:port/name`; default: SQLite in the data folder"
    )
    objects: str | None = Field(
        None, description="pictures and checkpoints: a folder or `s3://bucket/prefix`; default: in the data folder"
    )
    s3_endpoint: str | None = Field(None, description="address of an S3 that is not Amazon's (or AWS_ENDPOINT_URL)")
    s3_region: str | None = Field(None, description="region of the bucket (or AWS_REGION); default `us-east-1`")
    s3_access_key_id: str | None = Field(None, description="key of the bucket (or AWS_ACCESS_KEY_ID)")
    s3_secret_access_key: SecretStr | None = Field(None, description="its secret (or AWS_SECRET_ACCESS_KEY)")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8400, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s/?#])?$",
        description="how clients reach this server, where absolute addresses are answered; default: as the request did",
    )
    root_path: str = Field(
        "",
        max_length=200,
        description="path under which a proxy serves this server, such as `/paint`; default: that of `public_url`",
    )
    cors_origins: str = Field(
        "",
        description="origins, comma-separated, such as `https://app.example.org`, whose pages may send requests with a "
        "key or token; default: none",
    )
    model: str = Field(STARTER, description="`starter`, a diffusers folder, a `.safetensors` file, or a hub id")
    like: str | None = Field(
        None,
        description="where `model` is a file: the diffusers folder, or hub id in the hub's cache, that has its "
        "configuration and tokenizers; default: the package's for Stable Diffusion 1 and XL",
    )
    models: Path | None = Field(None, description="TOML file of several models, instead of `model`: see models.md")
    model_aliases: str = Field(
        "",
        description="further names of `model`, comma-separated, for clients that fix one, such as "
        "`gpt-image-1,dall-e-3`; with `models` they stand in the file",
    )
    fit_sizes: bool = Field(
        False,
        description="OpenAI's routes draw a size that the model cannot (1024x1024) at its nearest and resize it; the "
        "answer's `notes` say so; false: refused",
    )
    model_memory_mb: int = Field(
        0, ge=0, description="MiB that models in memory may take before idle ones make room; 0: no bound"
    )
    style_memory_mb: int = Field(
        1024, ge=1, description="MiB that the styles (LoRA) of one model may take in memory before idle ones make room"
    )
    style_max_mb: int = Field(2048, ge=1, description="MiB that the file of a style may have; a larger one is refused")
    worker: bool = Field(True, description="`serve` draws, too; false: a gateway alone, beside `mezzotint worker`s")
    worker_metrics_port: int = Field(
        0, ge=0, le=65535, description="port on 127.0.0.1 where `mezzotint worker` shows its metrics; 0: none"
    )
    revision: str | None = Field(None, description="revision of a hub id; pin it in production")
    upscaler: str = Field(
        "built-in", description="`built-in`, `none`, or a file of ESRGAN-type weights (.safetensors or .pth)"
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d{1,2})?)$",
        description="where the model runs: `auto`, `cpu`, `cuda` (the first GPU that no other process of Mezzotint "
        "has), or one by number, `cuda:1`",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto",
        description="what models compute in whose entry names no dtype; `auto`: float32 on a CPU; on a GPU the half "
        "precision of the model's files, or bfloat16 for transformers and float16 for UNets",
    )
    compile: bool = Field(
        False,
        description="whether `torch.compile` makes the denoisers of models faster whose entry does not say; fast mode "
        "only; costs minutes at the start",
    )
    exact: bool | Literal["auto"] = Field(
        "auto",
        description="true: a picture's bytes do not depend on what else is running (a little slower on a CPU, not "
        "measured on a GPU); false: fast mode; `auto`: true on a CPU, false on a GPU",
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the model; 0 leaves it to PyTorch")
    max_runs: int = Field(8, ge=1, le=256, description="most jobs in the engine at once")
    pool: str = Field("", max_length=64, description="label of a worker: the pool that it belongs to")
    release: str = Field(
        "", max_length=40, description="label of a worker: the version that a rollout gave it; default: the package's"
    )
    region: str = Field(
        "", max_length=64, description="the place where a worker or gateway runs; jobs stay in their gateway's"
    )
    device_name: str = Field("", max_length=120, description="a worker's device in a fleet; default: host and UUID")
    claim_models: str = Field(
        "", description="models, comma-separated, that a worker loads and draws with; default: all"
    )
    claim_lanes: str = Field("", description="lanes, comma-separated, that a worker takes jobs of; default: all")
    claim_tenants: str = Field(
        "", description="the only tenants, comma-separated, that a worker draws for; default: all"
    )
    light_first: bool = Field(
        False, description="jobs that a worker should finish within 5 s, by its own pace, go a little before others"
    )
    run_memory_mb: int = Field(
        0,
        ge=0,
        description="MiB that runs may keep in memory; beyond, jobs wait or lighter lanes make room; 0: no bound",
    )
    checkpoint_every: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = Field(
        10, description="steps between two checkpoints of a job, or `auto`: what measured costs and failures call for"
    )
    lease_s: float = Field(30.0, gt=1, le=3600, description="seconds without a heartbeat after which a job is given up")
    shutdown_s: float = Field(
        20.0,
        ge=1,
        le=3600,
        description="seconds after a stop signal in which runs are put aside with checkpoints and their jobs given "
        "back; set it 3 below what a container or a service manager waits before it kills",
    )
    spot_notice: Literal["off", "aws", "gcp"] = Field("off", description="the cloud that tells of a spot machine's end")
    spot_notice_url: str | None = Field(None, pattern=r"^http://[^\s/?#]+$", description="its address, for tests alone")
    reuse: bool = Field(
        True,
        description="exact mode: a request with a fixed seed that was drawn before is answered with the stored picture "
        "(see reuse.md); a tenant can be left out, and so can a request (`new`)",
    )
    reuse_charge: float = Field(
        0.0, ge=0, le=1, description="share of a picture's GPU-seconds that is charged when it is reused"
    )
    max_attempts: int = Field(5, ge=1, le=100, description="claims of one job before it is declared failed")
    safety_policy: Path | None = Field(
        None, description="TOML file of the scores from which texts and pictures are blocked; default: the built-in one"
    )
    takedown_days: float = Field(
        30, gt=0, le=3650, description="days in which a takedown can be undone; then its pictures are deleted for good"
    )
    purge_url: str | None = Field(
        None,
        max_length=2000,
        description="URL (https) that is told by a signed POST which addresses a CDN is to drop; default: no CDN",
    )
    prefilter_rules: Path | None = Field(None, description="TOML file of hard rules, added to the built-in ones")
    provenance: bool = Field(
        True, description="whether every finished picture is signed with C2PA content credentials; see provenance.md"
    )
    provenance_certificates: Path | None = Field(
        None,
        description="PEM file of the signer's certificate and its intermediates; default: a development authority, "
        "made once in the data folder",
    )
    provenance_key: Path | None = Field(None, description="PEM file of that certificate's private key")
    provenance_signer: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#]+[^\s#]*$",
        description="instead of `provenance_key`: URL of a remote signer, such as a KMS behind a small proxy",
    )
    provenance_signer_token: HeaderSecret | None = Field(None, description="bearer token that the remote signer wants")
    watermark: bool = Field(
        False,
        description="whether pictures of 256 px a side and more bear an invisible mark that names their job; changes "
        "pixels; see provenance.md",
    )
    provenance_anchors: Path | None = Field(
        None, description="PEM file of authorities whose signatures count as trusted, beside this installation's own"
    )
    text_classifier: bool = Field(
        True,
        description="trained heads score prompts after the hard rules (230 MiB, 1.6 s of a core at start); false: "
        "rules alone, which miss most of what is said in other words or languages",
    )
    text_heads: Path | None = Field(
        None,
        description="folder of trained heads (`heads.json` and the files that it names) instead of the built-in ones; "
        "`training/safety` makes them",
    )
    guard_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="OpenAI-compatible API of a guard model, such as `http://127.0.0.1:8000/v1`, which decides where "
        "the text filter is uncertain; default: none",
    )
    guard_format: GuardFormat = Field(
        GuardFormat.QWEN3GUARD,
        description="how the guard is asked and answers: `qwen3guard`, `llama-guard`, `shieldgemma` (chat), or "
        "`openai` (moderations)",
    )
    guard_model: str = Field("", description="the guard's model, as its API names it")
    guard_key: HeaderSecret | None = Field(None, description="API key of the guard")
    guard_timeout_s: float = Field(2.0, gt=0, le=60, description="seconds that the guard may take for an answer")
    guard_away: Literal["open", "closed"] = Field(
        "open",
        description="while the guard does not answer: `open`: the text filter's own verdict stands; `closed`: prompts "
        "that the guard is to decide are refused with 503",
    )
    guard_always: bool = Field(
        False, description="ask the guard about every prompt that the text filter lets pass, not only uncertain ones"
    )
    token_secret: SecretStr | None = Field(
        None, description="key that signs tokens, 32 bytes or more; default: made once in the data folder"
    )
    token: HeaderSecret | None = Field(None, description="bearer token that `mezzotint imagine --server` sends")
    eval_judge_key: HeaderSecret | None = Field(
        None, description="bearer key of the judge that `mezzotint eval aesthetic --judge` asks"
    )
    metrics_token: HeaderSecret | None = Field(
        None, description="bearer token that reads `/metrics`; without it only the server's own machine may"
    )
    max_connections: int = Field(
        0, ge=0, le=1_000_000, description="most open connections; 0, and at most: half of the files a process may open"
    )
    connections_per_address: int = Field(
        200, ge=0, le=1_000_000, description="most of one address; 0: no limit; never for this machine and proxies"
    )
    client_timeout_s: float = Field(
        10.0,
        ge=0.1,
        le=600,
        description="seconds that a client may take for a whole head and for each 160 KiB of a body",
    )
    keep_alive_s: float = Field(
        75.0,
        ge=1,
        le=3600,
        description="seconds that a connection may be idle after an answer; more than a proxy keeps its own open",
    )
    drain_s: float = Field(
        0.0,
        ge=0,
        le=600,
        description="seconds that a stop waits while `/readyz` answers 503, so that load balancers send nothing more",
    )
    body_timeout_s: float = Field(120.0, ge=1, le=3600, description="seconds that a client may take for a whole body")
    body_memory_mb: int = Field(
        256, ge=24, le=1_000_000, description="MiB of large bodies that are read at once; of one tenant a quarter"
    )
    rate_per_address: int = Field(
        1200, ge=0, le=1_000_000, description="requests a minute from one address; 0: no limit; never for this machine"
    )
    rate_scale: float = Field(
        1.0, ge=0, le=1000, description="multiplies how fast and how wide each tier may ask; 0: no limit"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks, comma-separated, whose `X-Forwarded-` For, Proto, Host, Prefix count",
    )
    allowed_hosts: str = Field(
        "", description="names, comma-separated, that a request's Host may have beside this machine's own; default: any"
    )
    valkey: SecretStr | None = Field(
        None, description="`valkey://` address that several gateways keep their limits in; default: each its own"
    )
    webhook_inside: str = Field(
        "", description="host names and networks, comma-separated, that webhooks may reach though they are private"
    )
    sign_up: bool = Field(False, description="whether strangers may make themselves a tenant of the free tier")
    session_days: int = Field(14, ge=1, le=365, description="days after which a person signs in again")
    oidc_issuer: str | None = Field(None, description="`iss` of the OIDC provider whose tokens are taken too")
    oidc_audience: str | None = Field(None, description="`aud` that the provider's tokens must name")
    oidc_jwks: str | None = Field(None, description="URL (https) or file of the provider's public keys (JWKS)")
    oidc_client_id: str | None = Field(
        None, description="this server's client at the provider: the page then has a button to sign in there"
    )
    oidc_client_secret: SecretStr | None = Field(None, description="that client's secret; default: a public client")
    oidc_tenant_claim: str = Field("sub", description="claim that names the tenant")
    oidc_tenant_prefix: str = Field(
        "oidc.", max_length=24, description="put before that name; empty: provider and server share one set of names"
    )
    oidc_tier_claim: str = Field("tier", description="claim that names the tier")
    oidc_default_tier: Tier | None = Field(None, description="tier of tokens without that claim; default: refused")
    oidc_role_claim: str = Field("role", description="claim that holds the role or a list of roles")
    oidc_admin_role: str | None = Field(None, description="role that makes an admin; default: none does")
    oidc_manager_role: str | None = Field(
        None, description="role that makes a manager of the tenant; default: none does"
    )
    refusals_per_tenant: int = Field(
        1000, ge=0, le=1_000_000, description="refusals kept for audit, the newest of each tenant; 0: none"
    )
    refusal_prompts: bool = Field(
        False, description="keep the text of refused prompts beside its hash, scores and versions"
    )
    refusal_chars: int = Field(
        2000, ge=0, le=100_000, description="characters of a refused prompt that are kept, with `refusal_prompts`"
    )
    refusal_days: float = Field(30, gt=0, le=3650, description="days after which a refusal is deleted")
    unstarted_jobs_per_tenant: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="jobs kept that were cancelled or expired before they began, the newest of each tenant",
    )
    unstarted_job_days: float = Field(30, ge=1, le=3650, description="days after which such a job is deleted")
    dev: bool = Field(False, description="the page signs in by itself; loopback addresses only")
    log_json: bool = Field(False, description="log lines as JSON instead of text")


def unknown_variables() -> dict[str, str]:
    """The `MEZZOTINT_...` variables of the environment that are no setting, each with the setting most like it, or "".

    They have no effect: a misspelt one would otherwise be found out by what it failed to do.
    """
    prefix, known = "MEZZOTINT_", [name.upper() for name in Settings.model_fields]
    given = {name: name.upper().removeprefix(prefix) for name in sorted(os.environ) if name.upper().startswith(prefix)}
    unknown = {name: get_close_matches(rest, known, 1) for name, rest in given.items() if rest not in known}
    return {name: prefix + like[0] if like else "" for name, like in unknown.items()}


def s3_options(settings: Settings) -> dict[str, str]:
    """The credentials of an S3 bucket: settings first, then the names that every S3 tool knows."""
    secret = settings.s3_secret_access_key
    own = {
        "endpoint": settings.s3_endpoint,
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key_id,
        "secret_access_key": secret.get_secret_value() if secret else None,
    }
    usual = {"endpoint": "AWS_ENDPOINT_URL", "region": "AWS_REGION", "access_key_id": "AWS_ACCESS_KEY_ID"}
    usual |= {"secret_access_key": "AWS_SECRET_ACCESS_KEY", "session_token": "AWS_SESSION_TOKEN"}
    found = {name: own.get(name) or os.environ.get(variable) for name, variable in usual.items()}
    return {"region": "us-east-1"} | {name: value for name, value in found.items() if value}


def read_settings(**flags: Any) -> Settings:
    """The settings from the environment, overridden by the flags that are not None.

    Raises: SettingInvalid, naming the setting and what it accepts.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        is_secret = "SecretStr" in str(Settings.model_fields[name].annotation)
        got = "" if is_secret else f" (got {first['input']!r})"
        raise SettingInvalid(f"{name}: {first['msg']}{got}") from error
