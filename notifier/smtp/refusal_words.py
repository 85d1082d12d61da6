"""The words of a refused recipient: whether they say something else than "no such mailbox".

Relays use a code for "no such user" also in refusals that are about the sender, the content or a temporary state. Such
a reply is no fact about the address. The table matches too much on purpose: a needless match suppresses nobody.
"""

import re
import unicodedata
from enum import StrEnum


class RefusalTopic(StrEnum):
    """What a refusal is about, if not about the existence of the mailbox."""

    REPUTATION = "a block list or the sender's reputation"
    CONTENT = "the content"
    POLICY = "a policy"
    SENDER = "the sender"
    RELAYING = "relaying"
    TEMPORARY = "the moment"
    FAULT = "a fault of the server"
    FULL = "a full mailbox or a size limit"
    DISABLED = "a mailbox that is disabled"


# Fragments of words, in lower case. A blank stands for blanks, hyphens, underscores or nothing; \b for a word boundary.
# Sources: RFC 3463 §3 (X.2.1 disabled, X.2.2 full, X.2.3 and X.3.4 size, X.3 mail system, X.4 network, X.7 policy) and
# RFC 7372 (authentication); RFC 6647 (greylisting); the replies of the MTAs and providers that are named.
_FRAGMENTS: dict[RefusalTopic, tuple[str, ...]] = {
    # "Blocked using", "listed at": Spamhaus, SpamCop, Barracuda, Proofpoint, iCloud. "On our block list": Outlook.com.
    # "Poor reputation": Cisco and Postini. TSS codes: Yahoo.
    RefusalTopic.REPUTATION: (
        "block", "listed", r"\bon (our|the|a|your) .{0,20}list", "black list", "black hole", "deny list", r"rbl\b",
        r"\brbl", "dns", "reput", "senderbase", r"\btalos", "spamhaus", "spamcop", "sorbs", "barracuda", "abus", "bann",
        r"\bban\b", "complaint", r"\bscore", r"\bips?\b", "dynamic", "dial ?up", "residential", "botnet", "proxy",
        "backscatter", "firewall", "unsafe", "trust", "threat", r"\brisk", "attack", "hijack", "compromis",
        "gesperrt", "bloqu", "bloccat", "blokk",
    ),
    # "Unsolicited", "suspicious": Gmail 5.7.1. "Contains a virus": Barracuda, Mimecast. "Content": GMX, Amazon SES.
    RefusalTopic.CONTENT: (
        "spam", r"\bcontent", "virus", "malware", "phish", "scam", "fraud", "junk", "bulk", "unsolicited", "suspicious",
        "suspect", "quarantin", "infect", "attachment", "filter", "detect", "harmful", "malicious", r"\burl",
        r"\blinks?\b", "heuristic",
    ),
    # "Access denied": Postfix. "Administrative prohibition": Exim. "RESOLVER.RST.NotAuthorized": Exchange. "Members
    # only": mailing lists.
    RefusalTopic.POLICY: (
        "polic", "polit", "polít", "richtlini", "denied", r"\bdeny", "refus", "forbid", "prohibit", "not allowed",
        "not permit", "disallow", "restrict", "violat", "complian", "security", "authori[sz]", "permission",
        "not accept(ed|ing)", r"not accept .{0,20}from", "administrative", "white list", "allow list", "safe list",
        "challenge", "captcha", "moderat", r"\bmembers?\b", "subscri", r"\bonly\b", "internal", "external",
        "unwanted", "welcome", "opt out", "terms of", r"\bgeo(graph|ip|loc)?", "country", "reject(ed)? by", "declin",
        "abgelehnt", "rechaz", "verweigert", "refuz",
        r"(message|mail|transaction|delivery|connection|command|session) (was |has been |is )?(not |reject|declin)",
    ),
    # "Sender address rejected", "Client host rejected": Postfix. "Sender verify failed": Exim. DMARC, SPF, DKIM: all.
    RefusalTopic.SENDER: (
        "sender", r"\bmail from\b", r"\bfrom\b.{0,20}(address|domain)", "return path", "envelope from", "originat",
        r"\bauth", r"\bspf\b", "dkim", "dmarc", r"\barc\b", "unauthent", r"\bclient\b", "rdns", r"\bptr\b", r"\bhelo\b",
        r"\behlo\b", "reverse", r"\btls\b", "starttls", "encrypt", "certificate", "spoof", "forg(ed|ery)", "imperson",
        r"\byour (host|server|domain|network|system|organi|ip|provider|isp)", "credential", "password", r"\blog ?in\b",
        "expéditeur", "absender", "remitente", "mittente",
    ),
    # "Relaying denied": Sendmail. "Not in my list of allowed rcpthosts": qmail. "Unable to relay": Exchange. But "User
    # unknown in relay recipient table" is Postfix's word for a mailbox that does not exist.
    RefusalTopic.RELAYING: (
        "relay(?! recipient table)", "rcpthosts", "not local", "not our domain", "not hosted", "do not handle",
    ),
    # "Greylisted": Postgrey, GMX, web.de. "Temporarily deferred": Yahoo. "Receiving mail at a rate": Gmail.
    RefusalTopic.TEMPORARY: (
        "gr[ae]y list", "postgrey", "temporar", "temporär", "temporaire", "tempfail", r"\btemp\b", "try again",
        "try (it )?later", "retry", r"\blater\b", r"\bagain\b", r"\bdefer", r"\brate\b", "too (many|fast|often|soon)",
        "limit", "throttl", "exceed", "frequen", "busy", "overload", "time ?out", "timed out", "at this time",
        "currently", "moment", "maintenance", "migrat", "später", "plus tard", "más tarde", "più tardi", "first time",
        "in progress", r"\bwait", "unusual", "pending", "delay", r"\bqueue", r"\bslow", r"service.{0,12}available",
    ),
    # Failures of an MTA's own maps, directories or disks: Postfix, Exim, Exchange, Dovecot, OpenSMTPD.
    RefusalTopic.FAULT: (
        "ldap", "look up (fail|fault|error|problem)", r"(unable|could not|cannot|can't|failed|failure|not able) to",
        r"\bverif(y|ication).{0,20}(fail|err|defer|impossible)", "call out", "configur", "server error",
        "system (error|problem|fail|fault|not|resources)", "technical", "database", "unreachable", "no route",
        "connection (refused|lost|closed|reset|failed|timed)", r"\bloop", "too many hops", r"\bdisk\b", "memory",
        "resource", "outage", "out of (order|service)", "syntax", "protocol", "sequence", "not implemented",
        "host (name )?(not found|unknown|lookup)",
    ),
    # RFC 3463 X.2.2, X.2.3, X.3.4; "out of storage space": Gmail. "Mailbox full": Exchange. "Quota exceeded": Dovecot.
    RefusalTopic.FULL: (
        "full", "quota", "storage", r"\bspace\b", "insufficient", "over ?drawn", r"\bsize\b", "too (big|large|long)",
        "capacity", "overquota", r"\bvoll\b", r"überfüllt", r"\bplein", r"\bllen[oa]\b", r"\bpien[oa]\b", "cuota",
    ),
    # RFC 3463 X.2.1; "This mailbox is disabled": Yahoo 554.30, Gmail 5.2.1.
    RefusalTopic.DISABLED: (
        "disabl", "suspend", "inactiv", "not active", "deactivat", "lock", "frozen", "freez", r"\bhold\b", "expired",
        "overdue", "unpaid", "payment", "dormant", "idle", "not enabled", "not activated", "deaktiviert", "désactiv",
        "desactiv", "inaktiv", "disattivat", "not ready", "not yet", "not available", "temporarily un",
    ),
}  # fmt: skip
_TOPIC_PATTERNS = {
    topic: re.compile("|".join(fragment.replace(" ", r"[\s_-]*") for fragment in fragments))
    for topic, fragments in _FRAGMENTS.items()
}
_OTHER_ADDRESS = re.compile(r"\S@\S")
_STATUS_CODE = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?!\.?\d)")


def find_doubt(text: str, *, recipient: str, enhanced: str) -> str | None:
    """Return why the words of a refusal contradict the code for "no such mailbox"; None if they do not.

    `recipient` is the address that the relay got, `enhanced` the reply's status code (RFC 3463). The text without that
    address is searched for other status codes, other addresses, and words about something else.
    """
    words = unicodedata.normalize("NFKC", text).casefold()
    own = re.escape(recipient.casefold())
    words = re.sub(rf"(?<![\w.+-]){own}(?![\w-]|\.\w)", " ", words)
    if any(code != enhanced for code in _STATUS_CODE.findall(words)):
        return "it names another status code as well"
    if _OTHER_ADDRESS.search(words):
        return "it names another address"
    for topic, pattern in _TOPIC_PATTERNS.items():
        if pattern.search(words):
            return f"its words are about {topic.value}"
    return None
