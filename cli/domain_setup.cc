#include "cli/domain_setup.h"

#include "cli/domain_text.h"
#include "cli/pins.h"
#include "ha/domain/domain.h"

namespace p11ha::cli {

std::optional<Trouble> setDomainUp(Session& session, std::span<const Token* const> members, const DomainPins& pins,
                                   DomainStep step) {
  Console& console = session.console();
  if (step != DomainStep::Plan) console.note(kDomainCost);
  std::vector<ha::domain::Candidate> candidates;
  for (const Token* const token : members) {
    if (token != nullptr && token->isThere()) candidates.push_back({*token->member, &pins.user, &pins.officer});
  }
  const auto progress = [&](const std::string& serial, const std::string& doing) {
    console.note("member " + serial + ": " + doing + "\n");
  };
  const ha::domain::Report report = step == DomainStep::Renew
                                        ? ha::domain::renewAfterRemoval(candidates, false, progress)
                                        : ha::domain::join(candidates, {step == DomainStep::Plan, false}, progress);
  console.note(joinText(report));
  const bool isBad =
      report.result == ha::domain::Report::Result::NotDone || report.result == ha::domain::Report::Result::Incomplete;
  if (!isBad) return std::nullopt;
  if (report.refusal) return refusedPin(report.refusal->serial, report.refusal->user, report.refusal->rv);
  return Trouble{CKR_FUNCTION_FAILED, "the cloning domain was not set up: " + report.problem,
                 "Mend that and run the command again, or leave -sopassword out."};
}

}  // namespace p11ha::cli
