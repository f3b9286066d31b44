import VMXControl

/// Something that stops the machine and that only an administrator can decide.
///
/// On the machine's loop.
final class MachineQuestion {
    let text: String
    let choices: [String]
    /// Carries the decision out; gets the position of the choice.
    let answer: (Int) -> Void
    /// Takes the question back, if it is not answered yet. The desk that asks it sets this.
    fileprivate(set) var withdraw: () -> Void = {}

    init(text: String, choices: [String], answer: @escaping (Int) -> Void) {
        self.text = text
        self.choices = choices
        self.answer = answer
    }
}

/// Keeps the machine paused as long as a question is open. On the machine's loop.
final class QuestionDesk {
    private let machine: Machine
    private let log: MachineLog
    private var waiting: [(identifier: UInt32, question: MachineQuestion)] = []
    private var last: UInt32 = 0

    init(_ machine: Machine, _ log: MachineLog) {
        self.machine = machine
        self.log = log
    }

    /// The question to be answered next, for status.
    var current: MachineStatus.Question? {
        waiting.first.map {
            MachineStatus.Question(identifier: $0.identifier, text: $0.question.text, choices: $0.question.choices)
        }
    }

    /// Pauses the machine and waits for an answer.
    func ask(_ question: MachineQuestion) {
        last += 1
        let identifier = last
        waiting.append((identifier, question))
        question.withdraw = { [weak self] in self?.withdraw(identifier) }
        log.warning("Question \(last): \(question.text) [\(question.choices.joined(separator: " | "))]")
        machine.pause(.question)
    }

    /// Takes an answer; the machine goes on after the last one.
    func answer(_ identifier: UInt32, _ choice: UInt32) throws(ControlReply.Refusal) {
        guard let index = waiting.firstIndex(where: { $0.identifier == identifier }) else {
            throw .init(.notFound, "the VM does not ask question \(identifier)")
        }
        let question = waiting[index].question
        guard choice < question.choices.count else {
            throw .init(.notFound, "question \(identifier) has no choice \(choice)")
        }
        waiting.remove(at: index)
        log.info("Question \(identifier) answered: \(question.choices[Int(choice)])")
        question.answer(Int(choice))
        goOn()
    }

    private func withdraw(_ identifier: UInt32) {
        guard let index = waiting.firstIndex(where: { $0.identifier == identifier }) else { return }
        waiting.remove(at: index)
        log.info("Question \(identifier) withdrawn: the guest was reset")
        goOn()
    }

    private func goOn() {
        if waiting.isEmpty, machine.state == .question { machine.resume() }
    }
}
