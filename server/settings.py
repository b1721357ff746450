"""Every setting of the node: one class, read once, from the command line, the environment and one TOML file.

The command line wins over ``SPINE_<NAME>`` in the environment, which wins over the TOML file, which wins over the
default. An unknown key is an error, as is an unknown ``SPINE_`` variable: a setting that is silently ignored is a
setting that someone believes in.

DICOM listens on every interface by default, because a PACS is another machine; whoever may send is limited by
``allowed_calling_ae_titles`` and the site's network. HTTP listens on loopback and is open there; any other address
needs authentication and TLS (server.exposure). No secret is a setting: an option shows in the list of processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from inference.errors import SettingRefusal
from server.dicom_trust import check_dicom_trust
from server.exposure import check_exposure
from server.inference_server import check_inference_server
from server.object_store import check_object_store
from server.peers import (
    DestinationPeer,
    DicomPeer,
    check_commitment,
    checked_ae_title,
    parse_destination,
    parse_dicom_peer,
)

ENVIRONMENT_PREFIX = "SPINE_"
NOT_SETTINGS = frozenset({"SPINE_CONFIG", "SPINE_SHARED_DATA", "SPINE_REQUIRE_PEERS", "SPINE_SUPERVISOR_PID"})
"""``SPINE_`` variables that other programs of this project read."""

OFF, KEEP, SEND = "off", "keep", "send"
"""What becomes of an object that archives do not expect: not made, for viewers of this node, for destinations too."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "inference_engine": ("auto", "onnxruntime", "openvino", "remote"),
    "rejection_note": ("none", "quality", "patient_safety"),
    "text_report": (OFF, KEEP, SEND),
    "key_images": (OFF, KEEP, SEND),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
}


def _split(value: object) -> object:
    """Lists come as lists (TOML, command line), as JSON, or separated by commas (environment)."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return tuple(part.strip() for part in value.split(",") if part.strip())


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """How this node runs. Lengths of time are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, validate_default=True
    )

    data_dir: Path = Field(Path("spine-data"), description="Folder for the spool, the results and the SQLite file.")
    database_url: str = Field("", description="SQLAlchemy URL; empty: a SQLite file in the data folder.")
    object_store: str = Field(
        "",
        description="Bucket (S3) that hosts share instead of the data folder: https://HOST/BUCKET; plain http on "
        "loopback only.",
    )
    object_store_key_file: Path | None = Field(
        None, description="File with its access key and secret key, a line each."
    )
    object_store_region: str = Field("us-east-1", description="Its region, where it has some.")
    object_store_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that its certificate is from."
    )
    object_cache_gib: float = Field(50.0, gt=0, description="Most that this host keeps of it for reading, in GiB.")
    ae_title: str = Field("SPINEAI", description="Our AE title.")
    dicom_host: str = Field("0.0.0.0", description="Address on which DICOM listens.")  # noqa: S104 - a PACS is another machine
    dicom_port: int = Field(11112, ge=0, le=65535, description="Port on which DICOM listens; 0: any free one.")
    receivers: int = Field(1, ge=1, le=16, description="Processes that receive, all on the DICOM port.")
    receive_log_mib: int = Field(1024, ge=0, description="Largest receive log of a receiver, in MiB; 0: none.")
    dicom_tls_port: int | None = Field(
        None, ge=0, le=65535, description="Port on which DICOM over TLS listens (2762 is the registered one)."
    )
    dicom_tls_certificate: Path | None = Field(
        None, description="PEM file with our certificate chain, for peers that we answer and peers that we call."
    )
    dicom_tls_key: Path | None = Field(None, description="PEM file with the certificate's key, without a passphrase.")
    dicom_tls_ca: Path | None = Field(
        None, description="PEM file with the authorities whose certificates are believed, of peers either way."
    )
    dicom_tls_crl: Path | None = Field(
        None, description="PEM file with the revocation lists of those authorities, one of each."
    )
    dicom_tls_demand_certificate: bool = Field(
        default=True, description="Who associates over TLS has to show a certificate of those authorities."
    )
    dicom_tls_required: bool = Field(
        default=False, description="Nothing is sent to, or taken from, another machine without TLS."
    )
    dicom_peers_file: Path | None = Field(
        None, description="TOML file that says who may associate: by AE title, address and certificate."
    )
    dicom_users_file: Path | None = Field(
        None, description="File of users, NAME:HASH, one of whom an association request has to name."
    )
    tls_warning_days: float = Field(
        30.0,
        ge=0,
        description="Warn of a certificate or revocation list that ends in so many days (in its last quarter).",
    )
    audit_repository: str = Field(
        "", description="HOST:PORT of the audit record repository: syslog over TLS (6514 is the registered port)."
    )
    http_host: str = Field(
        "127.0.0.1", description="Address on which HTTP listens; any but loopback needs authentication and TLS."
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port on which HTTP listens; 0: any free one.")
    http_names: Listed = Field(
        (), description="Names by which browsers call this node; those of loopback always are. Others are refused."
    )
    http_authentication: Listed = Field(
        (), description="How people sign in: local, oidc or both; keys of machines are then asked for too. Empty: open."
    )
    http_tls_certificate: Path | None = Field(None, description="PEM file with our certificate chain: HTTP speaks TLS.")
    http_tls_key: Path | None = Field(None, description="PEM file with the certificate's key, without a passphrase.")
    http_trusted_proxies: Listed = Field(
        (), description="Addresses or networks of the reverse proxies that end TLS in front of this node."
    )
    http_requests_per_minute: int = Field(
        12_000, ge=0, description="Requests of one client that are answered in a minute; 0: all."
    )
    session_idle: float = Field(1800.0, ge=60, description="A session without a request for so long is over.")
    session_lifetime: float = Field(43_200.0, ge=300, description="A session is over so long after the login.")
    oidc_issuer: str = Field("", description="The identity provider (OpenID Connect): its issuer, https://...")
    oidc_client_id: str = Field("", description="Our client id there.")
    oidc_client_secret_file: Path | None = Field(
        None, description="File that holds our client's secret; none for a public client."
    )
    oidc_scope: str = Field("openid profile", description="Scopes that are asked for.")
    oidc_role_claim: str = Field("roles", description="Claim of the ID token with the role; a dot leads into objects.")
    oidc_roles: Listed = Field(
        ("radiologist=radiologist", "coder=coder", "administrator=administrator", "viewer=viewer"),
        description="VALUE=ROLE: what a value of the claim stands for; the first that the claim holds.",
    )
    destinations: Listed = Field(
        (), description="Where results go: NAME=AET@HOST:PORT, NAME=dicoms://... or NAME=https://.../studies."
    )
    query_peers: Listed = Field(
        (), description="Sources that are asked by C-FIND how many instances a study has: AET@HOST:PORT or dicoms://..."
    )
    commitment_destinations: Listed = Field(
        (), description="Names of destinations that are asked to answer for what they took (Storage Commitment)."
    )
    commitment_wait: float = Field(
        3600.0, gt=0, description="How long such a destination may take for its report before it is asked anew."
    )
    commitment_peers: Listed = Field(
        (), description="Who may ask this node for storage commitment, and where they are told: AET@HOST:PORT."
    )
    allowed_calling_ae_titles: Listed = Field((), description="Who may send; empty: anyone who reaches the port.")
    quiet_period: float = Field(30.0, ge=1, description="A study is complete after so long without a new instance.")
    expected_wait: float = Field(
        300.0, gt=0, description="How long a study waits for instances that its source said it has."
    )
    dicom_max_associations: int = Field(20, ge=1, description="Associations that are served at the same time.")
    dicom_max_per_address: int = Field(0, ge=0, description="Of them, most from one network address; 0: any number.")
    dicom_max_per_ae_title: int = Field(0, ge=0, description="Of them, most of one AE title, user or key; 0: any.")
    dicom_mib_per_second: float = Field(0.0, ge=0, description="Fastest that one address is read, in MiB/s; 0: any.")
    dicom_gib_per_day: float = Field(
        0.0, ge=0, description="Most GiB a day (UTC) of one AE title, user or key; 0: any."
    )
    dicom_least_bytes_per_second: float = Field(
        256.0, ge=0, description="Abort an association whose message comes slower than this for a minute; 0: never."
    )
    instance_max_gib: float = Field(4.0, gt=0, le=4, description="Largest instance that is taken, in GiB.")
    disk_reserve_gib: float = Field(5.0, ge=0, description="Refuse instances below so much free disk, in GiB.")
    disk_reserve_percent: float = Field(
        10.0, ge=0, lt=100, description="Refuse instances below so much free disk, in percent."
    )
    retention_days: float = Field(0.0, ge=0, description="Delete images so many days after the study's last; 0: never.")
    received_max_gib: float = Field(
        0.0, ge=0, description="Delete the images of the oldest studies when all take more than so many GiB; 0: never."
    )
    stow_max_gib: float = Field(16.0, gt=0, description="Largest request that stores instances by STOW-RS, in GiB.")
    overlays: bool = Field(default=False, description="Also write overlay pictures beside the results of each study.")
    presentation_states: bool = Field(
        default=False,
        description="Also make a Grayscale Softcopy Presentation State for each series with something present on it, "
        "for viewers that draw neither SR nor SEG.",
    )
    text_report: str = Field(
        KEEP,
        description="A report in words (Enhanced SR) of each study: off, keep (for whoever opens the study from this "
        "node) or send (to the destinations too).",
    )
    key_images: str = Field(
        OFF,
        description="Pictures of what is present (Secondary Capture) of each study: off, keep or send, as text_report.",
    )
    workers: int = Field(
        1, ge=1, le=64, description="Studies read at the same time; each is one process with its own model."
    )
    threads: int = Field(0, ge=0, description="CPU threads of one worker; 0: every core divided by the workers.")
    models: Listed = Field((), description="Names of the model bundles to use; empty: all that are installed.")
    device: str = Field("cpu", description="Where models run: cpu, or cuda where that runtime is installed.")
    inference_engine: str = Field(
        "auto",
        description="What runs models: onnxruntime, openvino, auto (openvino where it is installed and gives the same "
        "logits, else onnxruntime), or remote (inference_server).",
    )
    inference_server: str = Field(
        "", description="Server that runs models (KServe v2, like Triton): https://...; plain http on loopback only."
    )
    inference_server_models: Listed = Field(
        (), description="BUNDLE=MODEL or BUNDLE=MODEL/VERSION: names there; a bundle that is not named has its own."
    )
    inference_server_token_file: Path | None = Field(
        None, description="File with the token that the inference server asks for."
    )
    inference_server_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that the inference server's certificate is from."
    )
    inference_server_timeout: float = Field(
        60.0, gt=0, description="Longest wait for an answer of the inference server."
    )
    fracture_loss: float = Field(
        0.25, gt=0, lt=1, description="Smallest height loss, as a fraction, that is called a fracture."
    )
    fracture_z: float = Field(-3.0, lt=0, description="Largest z-score of the worst height that is called a fracture.")
    stenosis_mm: float = Field(
        10.0, gt=0, lt=12, description="Mid-sagittal canal diameter, in mm, below which stenosis is called."
    )
    marrow_ratio: float = Field(
        2.0, gt=1, description="From how many times the expected signal marrow on STIR or fat-saturated T2 is bright."
    )
    marrow_share: float = Field(
        0.25, gt=0, lt=1, description="Smallest bright part of a vertebral body that is called oedema of the body."
    )
    marrow_z: float = Field(3.0, gt=0, description="Smallest z-score of a body's marrow signal that is called oedema.")
    marrow_quiet: float = Field(
        0.05, ge=0, lt=1, description="Largest bright part of a vertebral body that is called without oedema."
    )
    sac_area_mm2: float = Field(
        75.0, gt=0, lt=100, description="Dural sac area on axial T2, in mm2, below which stenosis is called."
    )
    organisation: str = Field(
        "", max_length=64, description="Name of the organisation for which reviewers verify reports."
    )
    rejection_note: str = Field(
        "none",
        description="What archives are told of results of which a reviewer rejected everything: none, or a rejection "
        "note for reasons of quality or patient_safety.",
    )
    claim_criteria_dir: Path | None = Field(
        None, description="Folder of the site's own criteria tables for claims (TOML), beside those that come with it."
    )
    claim_retention_days: int = Field(
        0,
        ge=0,
        description="Delete claims, with reports and history, so many days after they were closed; 0: never.",
    )
    claim_webhook: str = Field(
        "",
        description="https://... that is told when the evidence of a claim has changed; plain http on loopback only.",
    )
    claim_webhook_secret_file: Path | None = Field(
        None, description="File that holds the secret with which notices to the webhook are signed."
    )
    claim_destinations_file: Path | None = Field(
        None, description="TOML file that says where attachments of claims go, one table for each destination."
    )
    hl7_port: int = Field(
        0, ge=0, le=65535, description="Port on which reports are taken as HL7 v2 ORU over MLLP; 0: none are."
    )
    hl7_host: str = Field(
        "127.0.0.1", description="Address on which reports are taken; any but loopback needs hl7_senders and TLS."
    )
    hl7_senders: Listed = Field((), description="Addresses or networks that may send reports; empty: any of loopback.")
    hl7_tls_certificate: Path | None = Field(None, description="PEM file with the report feed's certificate chain.")
    hl7_tls_key: Path | None = Field(None, description="PEM file with its key, without a passphrase.")
    hl7_tls_authorities: Path | None = Field(
        None, description="PEM file with the authorities of which senders of reports need a certificate; none: no need."
    )
    hl7_retention_days: int = Field(400, ge=0, description="Forget reports of the feed after so many days; 0: never.")
    claim_attachment_max_mib: float = Field(
        64.0, gt=0, description="Largest attachment of a claim, in MiB, all its documents together."
    )
    viewer_dir: str = Field("", description="Folder of the OHIF viewer; empty: `viewer` in the data folder.")
    study_attempts: int = Field(2, ge=1, le=10, description="Runs of a study whose reading kills or hangs the process.")
    study_timeout: float = Field(
        1800.0, gt=0, description="A reading that takes longer is ended and counts as one attempt."
    )
    delivery_attempts: int = Field(
        72, ge=1, description="Tries per destination before an object goes to the dead letter."
    )
    delivery_backoff: float = Field(10.0, gt=0, description="Wait after the first failed delivery; doubles each time.")
    delivery_backoff_max: float = Field(3600.0, gt=0, description="Longest wait between two deliveries.")
    delivery_timeout: float = Field(30.0, gt=0, description="Longest wait for an answer of a destination.")
    lease_ttl: float = Field(30.0, gt=0, description="A worker without a sign of life for so long is taken over.")
    lease_beat: float = Field(5.0, gt=0, description="Time between two signs of life.")
    poll_interval: float = Field(0.2, gt=0, description="Time between two looks into the work queue.")
    stop_grace: float = Field(20.0, ge=0, description="Time that running work gets at an orderly stop.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only two sources: the values given here, and the environment; ``load`` puts the TOML file below both."""
        del settings_cls, dotenv_settings, file_secret_settings
        return (init_settings, env_settings)

    @field_validator("ae_title")
    @classmethod
    def _ae_title(cls, value: str) -> str:
        return checked_ae_title(value)

    @field_validator("allowed_calling_ae_titles")
    @classmethod
    def _ae_titles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_ae_title(title) for title in value)

    @field_validator(*_CHOICES)
    @classmethod
    def _choice(cls, value: str, info: ValidationInfo) -> str:
        choices = _CHOICES[str(info.field_name)]
        value = value.upper() if value.upper() in choices else value
        if value not in choices:
            raise SettingRefusal(f"{info.field_name} is {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}.")
        return value

    @field_validator("database_url")
    @classmethod
    def _url(cls, value: str) -> str:
        scheme = value.partition(":")[0]
        if value and scheme not in {"sqlite", "postgresql", "postgresql+psycopg"}:
            raise SettingRefusal(f"database_url starts with sqlite:/// or postgresql://, got {scheme!r}.")
        return value.replace("postgresql://", "postgresql+psycopg://", 1)

    @model_validator(mode="after")
    def _together(self) -> Self:
        names = [peer.name for peer in self.destination_peers()]
        if len(set(names)) != len(names):
            raise SettingRefusal(f"Each destination has a name of its own, got {', '.join(names)}.")
        self.source_peers()
        check_commitment(self.destination_peers(), self.commitment_destinations, self.commitment_peers)
        check_exposure(self)
        check_dicom_trust(self)
        check_inference_server(self)
        check_object_store(self)
        if self.lease_ttl < 3 * self.lease_beat:
            raise SettingRefusal(
                f"lease_ttl is at least three times lease_beat, got {self.lease_ttl:g} s and {self.lease_beat:g} s."
            )
        return self

    def destination_peers(self) -> tuple[DestinationPeer, ...]:
        """Where results go."""
        return tuple(parse_destination(text) for text in self.destinations)

    def kept_roles(self) -> frozenset[str]:
        """Roles of objects (uids.ObjectRole) that viewers find here and that no destination gets."""
        choices = {"text_sr": self.text_report, "verified_text": self.text_report, "key_image": self.key_images}
        return frozenset(role for role, choice in choices.items() if choice != SEND)

    def source_peers(self) -> Mapping[str, DicomPeer]:
        """Who can be asked how many instances a study has, by AE title."""
        peers = (parse_dicom_peer(text) for text in self.query_peers)
        return {peer.ae_title: peer for peer in peers}

    def resolved_database_url(self) -> str:
        """The URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'spine.sqlite'}"

    @property
    def viewer_folder(self) -> Path:
        """Where the OHIF viewer is installed, if it is."""
        return Path(self.viewer_dir) if self.viewer_dir else self.data_dir / "viewer"

    @property
    def site_bundles(self) -> Path:
        """Where bundles are kept that a site imported."""
        return self.data_dir / "models"
