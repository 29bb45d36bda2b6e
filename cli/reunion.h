// Makes the members of a group hold the same, as a running application would: by the group's own recovery.
#pragma once

#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "cli/tokens.h"

namespace p11ha::cli {

/// What became of it. A plain value.
struct Reunion {
  struct Member {
    std::string serial;
    CK_RV rv = CKR_OK;       ///< CKR_OK: it holds what the others do, but for what `remarks` say
    std::size_t copied = 0;  ///< objects of applications that it was given
  };
  std::vector<Member> members;       ///< those that could be reached
  std::vector<std::string> remarks;  ///< of the HA log's texts: what could not be brought into line, and why
};

/// Logs in to the first member that can be reached and has the others join it: each is given what it lacks, and gives
/// what the others lack; what was destroyed or changed while they were apart follows its notes (CLONING.md, "Resync").
/// Nothing is destroyed without a tombstone. Cut off anywhere, the next run does the rest; other processes that resync
/// the group take turns with this one. Blocks until all is done; shows `console` how far it is, of `missing` objects,
/// and for whom it waits. ^C ends it after an object: CKR_FUNCTION_CANCELED.
///
/// The PIN is known to be the members': readContents() was here before. The group's own setting (HASynchronize) plays
/// no part. Nobody else in this process may use the tokens meanwhile.
base::Result<Reunion, Trouble> reunite(const config::Group& group, const config::Settings& settings,
                                       const Tokens& tokens, const base::SecureBytes& pin, std::size_t missing,
                                       Console& console);

}  // namespace p11ha::cli
