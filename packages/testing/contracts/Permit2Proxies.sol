// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPermit2, UsesPermit2} from "./Permit2.sol";

/// What both proxies do: the payer signs for this spender and names the payee in the witness, so whoever sends it cannot redirect it.
abstract contract Permit2Proxy is UsesPermit2, ReentrancyGuardTransient {
    event Settled();
    event SettledWithPermit();

    error InvalidAmount();
    error InvalidDestination();
    error InvalidOwner();
    error PaymentTooEarly();

    struct Payment {
        uint256 amount;
        address owner;
        address to;
        uint256 validAfter;
        bytes32 witness;
        string witnessType;
    }

    function _pay(IPermit2.PermitTransferFrom calldata permit, Payment memory payment, bytes calldata signature) internal {
        if (payment.amount == 0) revert InvalidAmount();
        if (payment.owner == address(0)) revert InvalidOwner();
        if (payment.to == address(0)) revert InvalidDestination();
        if (block.timestamp < payment.validAfter) revert PaymentTooEarly();
        PERMIT2.permitWitnessTransferFrom(
            permit,
            IPermit2.SignatureTransferDetails({to: payment.to, requestedAmount: payment.amount}),
            payment.owner,
            payment.witness,
            payment.witnessType,
            signature
        );
    }
}

/// Local equivalent of x402ExactPermit2Proxy, written to its published interface: pays exactly what was signed, whoever sends it.
contract ExactPermit2Proxy is Permit2Proxy {
    struct Witness {
        address to;
        uint256 validAfter;
    }

    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    function settle(
        IPermit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _payExactly(permit, owner, witness, signature);
        emit Settled();
    }

    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        IPermit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _tryPermit(permit.permitted.token, owner, permit.permitted.amount, permit2612);
        _payExactly(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _payExactly(
        IPermit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        Payment memory payment = Payment({
            amount: permit.permitted.amount,
            owner: owner,
            to: witness.to,
            validAfter: witness.validAfter,
            witness: keccak256(abi.encode(WITNESS_TYPEHASH, witness)),
            witnessType: WITNESS_TYPE_STRING
        });
        _pay(permit, payment, signature);
    }
}

/// Local equivalent of x402UptoPermit2Proxy, written to its published interface: the signed facilitator alone pays up to what was signed.
contract UptoPermit2Proxy is Permit2Proxy {
    error AmountExceedsPermitted();
    error UnauthorizedFacilitator();

    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,address facilitator,uint256 validAfter)");
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    function settle(
        IPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant onlyUpTo(permit, amount, witness) {
        _payUpTo(permit, amount, owner, witness, signature);
        emit Settled();
    }

    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        IPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant onlyUpTo(permit, amount, witness) {
        _tryPermit(permit.permitted.token, owner, permit.permitted.amount, permit2612);
        _payUpTo(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    modifier onlyUpTo(IPermit2.PermitTransferFrom calldata permit, uint256 amount, Witness calldata witness) {
        if (amount > permit.permitted.amount) revert AmountExceedsPermitted();
        if (msg.sender != witness.facilitator) revert UnauthorizedFacilitator();
        _;
    }

    function _payUpTo(
        IPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        Payment memory payment = Payment({
            amount: amount,
            owner: owner,
            to: witness.to,
            validAfter: witness.validAfter,
            witness: keccak256(abi.encode(WITNESS_TYPEHASH, witness)),
            witnessType: WITNESS_TYPE_STRING
        });
        _pay(permit, payment, signature);
    }
}
