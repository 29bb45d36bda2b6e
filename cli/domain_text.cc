#include "cli/domain_text.h"

namespace p11ha::cli {

using ha::domain::MemberReport;
using ha::domain::Part;
using ha::domain::Report;

namespace {

std::string partText(Part part) {
  switch (part) {
    case Part::Full:
      return "all keys";
    case Part::OpenOnly:
      return "extractable keys only";
    case Part::LeftOut:
      break;
  }
  return "no domain keys";
}

std::string number(const Report& report) { return report.generation ? std::to_string(report.generation->number) : "0"; }

}  // namespace

std::string joinText(const Report& report) {
  std::string text;
  for (const MemberReport& member : report.members) {
    text += "member " + member.serial + ": " + partText(member.part);
    if (!member.reason.empty()) text += " (" + member.reason + ")";
    text += "\n";
    for (const std::string& words : member.letThrough) text += "  " + words + "\n";
    for (const std::string& label : member.holding.planted)
      text += "  it holds an object that is called \"" + label + "\" and is no domain key\n";
  }
  switch (report.result) {
    case Report::Result::Done:
      return text + "generation " + nameOf(*report.generation) + " is in place\n";
    case Report::Result::AlreadyDone:
      return text + "generation " + nameOf(*report.generation) + " is in place already\n";
    case Report::Result::Planned:
      return text + "generation " + number(report) + " would be made; nothing was\n";
    case Report::Result::Incomplete:
      return text + "generation " + nameOf(*report.generation) + " is incomplete: " + report.problem + "\n";
    case Report::Result::NotDone:
      break;
  }
  return text + "not done: " + report.problem + "\n";
}

}  // namespace p11ha::cli
