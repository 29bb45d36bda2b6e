#include "cli/checkup.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <set>

#include "cli/status_text.h"
#include "cryptoki/mechanism.h"
#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"
#include "ha/domain/domain.h"

namespace p11ha::cli {

using cryptoki::Fn;
using cryptoki::makeCall;
using Weight = Finding::Weight;

namespace {

constexpr std::time_t kMostSkew = 60;  // seconds

bool isUsable(const std::string& directory) { return access(directory.c_str(), W_OK | X_OK) == 0; }

void checkLog(const config::Settings& settings, Findings& findings) {
  const std::string subject = "HA log";
  if (settings.ha.logStatus == config::LogStatus::Disabled) {
    findings.push_back({Weight::Note, subject, "it is disabled", "hagroup halog -enable"});
  } else if (settings.ha.logPath.empty()) {
    findings.push_back({Weight::Warning, subject, "no directory is named, nothing is written", "hagroup halog -path"});
  } else if (access(settings.ha.logPath.c_str(), F_OK) != 0) {
    findings.push_back({Weight::Error, subject, "its directory " + settings.ha.logPath + " does not exist",
                        "Make it, or name another: hagroup halog -path."});
  } else if (!isUsable(settings.ha.logPath)) {
    findings.push_back({Weight::Warning, subject, "nothing can be written in " + settings.ha.logPath + " by this user",
                        "Let the users of the applications write there."});
  } else {
    findings.push_back({Weight::Fine, subject, "it is written in " + settings.ha.logPath});
  }
}

void checkStatusFiles(const config::Settings& settings, Findings& findings) {
  const std::string directory = statusDirectory(settings);
  if (isUsable(directory)) return;
  findings.push_back({Weight::Note, "status", "applications cannot report in " + directory + " (hagroup status)",
                      "Make it, writable for the users of the applications, or name another: hagroup status -path."});
}

// The seconds by which the token's clock differs; nothing where it has none.
std::optional<std::time_t> skewOf(const CK_TOKEN_INFO& info, std::time_t now) {
  if ((info.flags & CKF_CLOCK_ON_TOKEN) == 0) return std::nullopt;
  std::tm time{};
  const std::string text(reinterpret_cast<const char*>(info.utcTime), 14);
  const char* const end = strptime(text.c_str(), "%Y%m%d%H%M%S", &time);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&time) - now;
}

void checkPin(const CK_TOKEN_INFO& info, const std::string& subject, Findings& findings) {
  if ((info.flags & CKF_TOKEN_INITIALIZED) == 0)
    findings.push_back(
        {Weight::Error, subject, "the token is not initialized", "Initialize it, and set its user's PIN."});
  if ((info.flags & CKF_USER_PIN_INITIALIZED) == 0)
    findings.push_back({Weight::Error, subject, "the user has no PIN", "Have the Security Officer set it."});
  if ((info.flags & CKF_USER_PIN_LOCKED) != 0) {
    findings.push_back({Weight::Error, subject, "the user's PIN is locked", "Have the Security Officer set it anew."});
  } else if ((info.flags & CKF_USER_PIN_FINAL_TRY) != 0) {
    findings.push_back({Weight::Error, subject, "the next wrong PIN locks the user's; p11ha does not log in",
                        "Log in to the token itself with the right one."});
  } else if ((info.flags & CKF_USER_PIN_COUNT_LOW) != 0) {
    findings.push_back({Weight::Warning, subject, "a wrong PIN was given since the last login",
                        "Log in to the token itself with the right one."});
  }
}

std::string dateOf(std::chrono::sys_seconds moment) {
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(moment));
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", int{date.year()}, unsigned{date.month()},
                unsigned{date.day()});
  return text.data();
}

// Names of a set, the first few in full.
std::string few(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 8;
  if (names.size() <= kMost) return listed(names);
  return listed(std::vector<std::string>(names.begin(), names.begin() + kMost)) + " and " +
         std::to_string(names.size() - kMost) + " more";
}

std::set<CK_MECHANISM_TYPE> mechanismsOf(const Token& token) {
  CK_ULONG count = 0;
  cryptoki::Member& member = *token.member;
  std::vector<CK_MECHANISM_TYPE> list;
  CK_RV rv = member.execute(makeCall<Fn::GetMechanismList>(CK_SLOT_ID{0}, nullptr, &count)).rv;
  list.resize(rv == CKR_OK ? count : 0);
  rv = member.execute(makeCall<Fn::GetMechanismList>(CK_SLOT_ID{0}, list.data(), &count)).rv;
  list.resize(rv == CKR_OK ? std::min<std::size_t>(count, list.size()) : 0);
  return {list.begin(), list.end()};
}

std::vector<const Token*> thoseThere(std::vector<const Token*> members) {
  std::erase_if(members, [](const Token* token) { return token == nullptr || !token->isThere(); });
  return members;
}

}  // namespace

Findings checkConfiguration(const config::Settings& settings) {
  Findings findings;
  for (const config::Diagnostic& each : settings.diagnostics) {
    const Weight weight = each.severity == config::Severity::Error ? Weight::Error : Weight::Warning;
    findings.push_back({weight, "configuration", each.format(), "Mend that line of the file."});
  }
  if (settings.tuning.modules.empty() && settings.client.servers.empty())
    findings.push_back({Weight::Error, "configuration", "it names neither a module nor a server",
                        "Name a module in section p11ha (Module00Path), or a server in LunaSA Client."});
  if (settings.groups.empty())
    findings.push_back({Weight::Warning, "configuration", "there is no group", "hagroup createGroup"});
  if (findings.empty()) findings.push_back({Weight::Fine, "configuration", "it is sound"});
  checkLog(settings, findings);
  checkStatusFiles(settings, findings);
  return findings;
}

Findings checkCertificates(const std::vector<compose::Certificate>& certificates, std::time_t now) {
  constexpr std::chrono::days kSoon{30};
  const std::chrono::sys_seconds today{std::chrono::seconds(now)};
  Findings findings;
  for (const compose::Certificate& certificate : certificates) {
    const std::string subject = "certificate " + certificate.file;
    if (!certificate.expires) {
      findings.push_back({Weight::Error, subject, "the file holds none that can be read",
                          "Name one in section LunaSA Client, in PEM."});
      continue;
    }
    const std::string until = dateOf(*certificate.expires);
    if (*certificate.expires <= today) {
      findings.push_back({Weight::Error, subject, "it has expired on " + until, "Have a new one made."});
    } else if (*certificate.expires - today < kSoon) {
      findings.push_back({Weight::Warning, subject, "it expires on " + until, "Have a new one made in time."});
    } else {
      findings.push_back({Weight::Fine, subject, "it is valid until " + until});
    }
  }
  return findings;
}

Findings checkSources(const config::Settings& settings, const std::vector<std::string>& complaints) {
  std::set<std::string> ofMembers;
  for (const config::Group& group : settings.groups) {
    for (const std::string& serial : group.members) ofMembers.insert(compose::nobodyShows(group, serial));
  }
  Findings findings;
  for (const std::string& complaint : complaints) {
    if (ofMembers.contains(complaint)) continue;
    // It begins with what it is about: "server hsm:1792: ...".
    const std::size_t end = complaint.find(": ");
    const std::string what = end == std::string::npos ? "it is of no use" : complaint.substr(end + 2);
    findings.push_back({Weight::Error, complaint.substr(0, end), what,
                        "Mend it, or take it out of the configuration: its tokens are out of reach."});
  }
  return findings;
}

Findings checkToken(const std::string& serial, const Token* token, std::time_t now) {
  const std::string subject = "member " + serial;
  if (token == nullptr) {
    return {{Weight::Error, subject, "no module or server shows it", "See `slot list` for those that are there."}};
  }
  if (!token->isThere()) {
    return {{Weight::Error, subject,
             "it cannot be reached: " + (token->problem.empty() ? cryptoki::returnCodeName(token->rv) : token->problem),
             "Bring it back; running applications take it up again by themselves."}};
  }
  Findings findings;
  if (token->member->standing() != cryptoki::Standing::Active)
    findings.push_back({Weight::Error, subject, "it is deactivated or revoked", "Activate it on its appliance."});
  checkPin(token->info, subject, findings);
  const auto skew = skewOf(token->info, now);
  if (skew && (*skew > kMostSkew || *skew < -kMostSkew)) {
    findings.push_back({Weight::Warning, subject, "its clock differs by " + std::to_string(*skew) + " seconds",
                        "Set the clocks: the later of two changes wins when members are brought into line."});
  }
  if (findings.empty()) findings.push_back({Weight::Fine, subject, "it is there (" + token->label() + ")"});
  return findings;
}

Findings checkAlike(const config::Group& group, const std::vector<const Token*>& members) {
  const std::string subject = "group " + group.label;
  Findings findings;
  if (group.members.size() == 1)
    findings.push_back(
        {Weight::Warning, subject, "it has one member: nothing takes over from it", "hagroup addMember"});
  std::set<std::string> models;
  std::set<bool> pads;
  for (const Token* const token : thoseThere(members)) {
    models.insert(escaped(cryptoki::unpad(token->info.manufacturerID) + " " + cryptoki::unpad(token->info.model)));
    pads.insert((token->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0);
  }
  if (pads.size() > 1) {
    findings.push_back({Weight::Error, subject, "some members take a PIN and others have a PIN pad of their own",
                        "Keep to one kind: those of the other do not take part."});
  }
  if (models.size() > 1) {
    findings.push_back({Weight::Note, subject, "its members are of several makes: " + listed(models),
                        "What is cloned is as safe as on the weakest of them."});
  }
  return findings;
}

Findings checkMechanisms(const config::Group& group, const std::vector<const Token*>& members) {
  std::map<CK_MECHANISM_TYPE, std::size_t> counts;
  const std::vector<const Token*> there = thoseThere(members);
  for (const Token* const token : there) {
    for (const CK_MECHANISM_TYPE type : mechanismsOf(*token)) ++counts[type];
  }
  std::vector<std::string> missing;
  for (const auto& [type, count] : counts) {
    if (count < there.size()) missing.emplace_back(cryptoki::mechanismName(type));
  }
  const std::string subject = "group " + group.label;
  if (there.empty()) return {};
  const std::string common = std::to_string(counts.size() - missing.size()) + " mechanisms are common to all members";
  if (missing.empty()) return {{Weight::Fine, subject, common}};
  return {{Weight::Note, subject, common + "; not on all: " + few(missing), "Applications cannot use these."}};
}

Findings checkContents(const config::Group& group, const Contents& contents) {
  const std::string subject = "group " + group.label;
  if (const auto trouble = contents.nothingRead()) return {{Weight::Error, subject, trouble->what, trouble->next}};
  Findings findings;
  for (std::size_t i = 0; i < group.members.size(); ++i) {
    if (contents.read[i] != CKR_OK) {
      findings.push_back(
          {Weight::Warning, subject,
           "what member " + group.members[i] + " holds is not known: " + cryptoki::returnCodeName(contents.read[i]),
           "Look again once it is there."});
      continue;
    }
    const std::size_t missing = contents.items.size() - contents.count(i);
    if (missing == 0) continue;
    findings.push_back({Weight::Error, subject,
                        "member " + group.members[i] + " lacks " + std::to_string(missing) + " of " +
                            std::to_string(contents.items.size()) + " objects",
                        "hagroup synchronize"});
  }
  if (findings.empty())
    findings.push_back(
        {Weight::Fine, subject,
         "members that could be read hold the same (" + std::to_string(contents.items.size()) + " objects)"});
  return findings;
}

Findings checkDomain(const config::Group& group, const config::Settings& settings,
                     const std::vector<const Token*>& members, const base::SecureBytes& pin) {
  if (settings.tuning.cloningPolicy != config::CloningPolicy::Domain) return {};
  std::vector<ha::domain::Candidate> candidates;
  for (const Token* const token : thoseThere(members)) {
    // Of one that is deactivated nobody can tell what it holds.
    if (token->member->standing() == cryptoki::Standing::Active) candidates.push_back({*token->member, &pin, nullptr});
  }
  if (candidates.empty()) return {};
  const std::string subject = "group " + group.label;
  const ha::domain::Report report = ha::domain::status(candidates);
  const auto holds = [](const ha::domain::MemberReport& member) { return !member.holding.generations().empty(); };
  const auto count = std::count_if(report.members.begin(), report.members.end(), holds);
  if (count == 0) {
    return {{Weight::Note, subject, "it has no cloning domain: non-extractable keys stay on the member that made them",
             "hagroup synchronize -sopassword makes one."}};
  }
  std::set<std::string> shared;
  for (const auto& generation : report.members.front().holding.generations()) {
    const bool isEverywhere = std::all_of(report.members.begin(), report.members.end(), [&](const auto& member) {
      return member.holding.complete(generation, ha::domain::Seal::Sealed);
    });
    if (isEverywhere) shared.insert(nameOf(generation));
  }
  if (!shared.empty()) return {{Weight::Fine, subject, "all members that are there share a cloning domain"}};
  return {{Weight::Warning, subject, "its members do not all hold the same domain keys: some keys cannot be cloned",
           "hagroup synchronize -sopassword gives them new ones."}};
}

}  // namespace p11ha::cli
