// What may be wrong with a configuration and the members that it leads to, and what helps.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "cli/contents.h"
#include "cli/tokens.h"
#include "compose/certificates.h"

namespace p11ha::cli {

struct Finding {
  enum class Weight { Fine, Note, Warning, Error };
  Weight weight = Weight::Fine;
  std::string subject;   ///< "configuration", "group myHA", "member 154438865287"
  std::string what;      ///< a sentence without its period
  std::string remedy{};  ///< what to do, as a sentence; empty: nothing has to be done
};
using Findings = std::vector<Finding>;

/// The configuration itself, and the directories that it names. Any thread; looks at the file system.
Findings checkConfiguration(const config::Settings& settings);

/// How long the certificates for connections are good for. Pure; `now`: the time of day, UTC.
Findings checkCertificates(const std::vector<compose::Certificate>& certificates, std::time_t now);

/// What modules and servers that are configured do not show, but for members: those have findings of their own. Pure.
Findings checkSources(const config::Settings& settings, const std::vector<std::string>& complaints);

/// A token by what it says of itself; tries no PIN. Pure, likewise.
Findings checkToken(const std::string& serial, const Token* token, std::time_t now);

/// The members of a group beside each other: how they log in, of which make they are. Pure.
Findings checkAlike(const config::Group& group, const std::vector<const Token*>& members);

/// What some members offer and others do not. Asks them.
Findings checkMechanisms(const config::Group& group, const std::vector<const Token*>& members);

/// What some members hold and others do not. Pure.
Findings checkContents(const config::Group& group, const Contents& contents);

/// Whether all members hold one generation of domain keys, where they are to. Logs in with the PIN.
Findings checkDomain(const config::Group& group, const config::Settings& settings,
                     const std::vector<const Token*>& members, const base::SecureBytes& pin);

}  // namespace p11ha::cli
